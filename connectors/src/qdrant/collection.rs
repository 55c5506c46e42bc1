//! Collections: what one holds, and how a sink finds or makes its own.
//!
//! The name in a table's options is an **alias**. Behind the alias `media` stands the collection
//! `media__<model fingerprint>`, so that the vectors of a new model fill a collection of their own, and take the
//! alias over once they are complete. Vectors that no model of this job computed (they come from a topic) go to
//! `media__external`. A collection that has the name itself, and no alias, is used as it is.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::backend::Backend;
use super::points::Vectors;
use crate::{ConnectorError, VectorSpace};

/// The key of the model's name in a collection's metadata.
pub const MODEL_KEY: &str = "model";
/// The key of the model's fingerprint in a collection's metadata.
pub const FINGERPRINT_KEY: &str = "model_fingerprint";
/// What stands for the fingerprint in the name of a collection whose vectors come from elsewhere.
const EXTERNAL: &str = "external";

/// How far apart two vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// The cosine of the angle: larger is nearer.
    Cosine,
    /// The dot product: larger is nearer.
    Dot,
    /// The Euclidean distance: smaller is nearer.
    Euclid,
    /// The sum of the absolute differences: smaller is nearer.
    Manhattan,
}

impl FromStr for Distance {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.to_lowercase().as_str() {
            "cosine" => Ok(Self::Cosine),
            "dot" => Ok(Self::Dot),
            "euclid" => Ok(Self::Euclid),
            "manhattan" => Ok(Self::Manhattan),
            _ => Err("the distances are cosine, dot, euclid and manhattan".to_string()),
        }
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cosine => "cosine",
            Self::Dot => "dot",
            Self::Euclid => "euclid",
            Self::Manhattan => "manhattan",
        })
    }
}

/// One of a collection's vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VectorParams {
    /// Numbers in the vector.
    pub size: usize,
    /// The distance it is searched by.
    pub distance: Distance,
}

/// What a collection is made with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// The vectors by name; the unnamed one under the empty text.
    pub vectors: BTreeMap<String, VectorParams>,
    /// Free entries; ours are [`MODEL_KEY`] and [`FINGERPRINT_KEY`].
    pub metadata: Map<String, Value>,
}

/// A collection that exists.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Description {
    /// Its own name, not an alias.
    pub name: String,
    /// What it was made with.
    pub layout: Layout,
    /// The points in it.
    pub points: u64,
}

impl Layout {
    /// The text under `key` in the metadata.
    pub fn metadata_text(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).and_then(Value::as_str)
    }

    /// Why `vectors` do not fit; `None` where they do.
    pub fn misfit(&self, vectors: &Vectors) -> Option<String> {
        vectors.iter().find_map(|(name, values)| match self.vectors.get(name) {
            Some(params) if params.size == values.len() => None,
            Some(params) => Some(format!(
                "{} has {} numbers where the collection has {}",
                vector_label(name),
                values.len(),
                params.size
            )),
            None => {
                let known: Vec<String> = self.vectors.keys().map(|name| vector_label(name)).collect();
                Some(format!(
                    "the collection has no {}, it has {}",
                    vector_label(name),
                    known.join(", ")
                ))
            }
        })
    }
}

fn vector_label(name: &str) -> String {
    if name.is_empty() {
        "unnamed vector".to_string()
    } else {
        format!("vector `{name}`")
    }
}

/// What a sink wants of a collection.
#[derive(Debug, Clone)]
pub(crate) struct Wanted<'a> {
    /// The space of the vectors, where this job computes them.
    pub space: Option<&'a VectorSpace>,
    /// The distance, where the table says one.
    pub distance: Option<Distance>,
}

impl Wanted<'_> {
    /// The collection behind `alias` if there is one, checked against what is wanted.
    ///
    /// # Errors
    /// [`ConnectorError::Refused`] if it has another dimension, distance or model.
    pub async fn find(&self, backend: &dyn Backend, alias: &str) -> Result<Option<Description>, ConnectorError> {
        let target = backend.alias_target(alias).await?;
        let name = target.as_deref().unwrap_or(alias);
        let Some(found) = backend.describe(name).await? else {
            return match target {
                None => Ok(None),
                Some(target) => Err(backend.refusal(Self::dangling(alias, &target))),
            };
        };
        self.check(backend, alias, &found)?;
        Ok(Some(found))
    }

    /// The collection behind `alias`; made, together with the alias, if there is none. Without a
    /// [space](Wanted::space) it is made for vectors of the sizes of `example`.
    ///
    /// # Errors
    /// As [`Wanted::find`].
    pub async fn find_or_create(
        &self,
        backend: &dyn Backend,
        alias: &str,
        example: Option<&Vectors>,
    ) -> Result<Option<Description>, ConnectorError> {
        if let Some(found) = self.find(backend, alias).await? {
            return Ok(Some(found));
        }
        let Some(layout) = self.layout(example) else {
            return Ok(None);
        };
        let name = self.own_name(alias);
        // A run that was killed between the two steps left the collection without its alias.
        if backend.describe(&name).await?.is_none() {
            tracing::info!(
                system = backend.system(),
                collection = name,
                alias,
                "making the collection"
            );
            backend.create(&name, &layout).await?;
        }
        let Some(made) = backend.describe(&name).await? else {
            return Err(backend.refusal(format!("the collection '{name}' was made and is not there")));
        };
        self.check(backend, alias, &made)?;
        backend.create_alias(alias, &name).await?;
        Ok(Some(made))
    }

    fn layout(&self, example: Option<&Vectors>) -> Option<Layout> {
        let distance = self.distance_to_make();
        match self.space {
            Some(space) => Some(Layout {
                vectors: [(
                    String::new(),
                    VectorParams {
                        size: space.dimension,
                        distance,
                    },
                )]
                .into(),
                metadata: [
                    (MODEL_KEY.to_string(), Value::from(space.model.as_str())),
                    (FINGERPRINT_KEY.to_string(), Value::from(space.fingerprint.as_str())),
                ]
                .into_iter()
                .collect(),
            }),
            None => example.map(|vectors| Layout {
                vectors: vectors
                    .iter()
                    .map(|(name, values)| {
                        (
                            name.to_string(),
                            VectorParams {
                                size: values.len(),
                                distance,
                            },
                        )
                    })
                    .collect(),
                metadata: Map::new(),
            }),
        }
    }

    /// The name of the collection that is made behind `alias`.
    pub fn own_name(&self, alias: &str) -> String {
        let suffix = self.space.map_or(EXTERNAL, |space| space.fingerprint.as_str());
        format!("{alias}__{suffix}")
    }

    /// The distance of a collection that is made.
    pub fn distance_to_make(&self) -> Distance {
        self.distance.unwrap_or(Distance::Cosine)
    }

    /// What is wrong with an alias that leads nowhere.
    pub fn dangling(alias: &str, target: &str) -> String {
        format!("the alias '{alias}' leads to the collection '{target}', which does not exist; delete the alias")
    }

    fn check(&self, backend: &dyn Backend, alias: &str, found: &Description) -> Result<(), ConnectorError> {
        let problems = self.problems(alias, found);
        if !problems.is_empty() {
            return Err(backend.refusal(problems.join("; ")));
        }
        if let Some(space) = self.space
            && self.model_is_unknown(alias, found)
        {
            tracing::warn!(
                system = backend.system(),
                collection = found.name,
                model = space.model,
                "the collection does not say which model filled it; taking it that it was this one"
            );
        }
        Ok(())
    }

    /// Whether nothing tells which model filled the collection `found`.
    pub fn model_is_unknown(&self, alias: &str, found: &Description) -> bool {
        fingerprint_of(alias, found).is_none()
    }

    /// Why the collection `found` behind `alias` cannot take the vectors; nothing if it can.
    pub fn problems(&self, alias: &str, found: &Description) -> Vec<String> {
        let name = &found.name;
        let way_out = format!("write to another collection, or delete '{name}' to fill it anew");
        let mut problems = Vec::new();
        if let Some(wanted) = self.distance
            && let Some(other) = found.layout.vectors.values().find(|params| params.distance != wanted)
        {
            problems.push(format!(
                "the collection '{name}' has the distance {}, and the table asks for {wanted}; write distance = \
                 '{}' in the table's options, or {way_out}",
                other.distance, other.distance
            ));
        }
        let Some(space) = self.space else { return problems };
        let Some(params) = found.layout.vectors.get("") else {
            let names: Vec<&str> = found.layout.vectors.keys().map(String::as_str).collect();
            problems.push(format!(
                "the collection '{name}' has only named vectors ({}), and embed() gives one without a name; {way_out}",
                names.join(", ")
            ));
            return problems;
        };
        let model = found.layout.metadata_text(MODEL_KEY).unwrap_or("an unknown model");
        if params.size != space.dimension {
            problems.push(format!(
                "the collection '{name}' holds vectors of {} numbers ({model}), and the model '{}' gives {}; use the \
                 model that filled it, or {way_out}",
                params.size, space.model, space.dimension
            ));
            return problems;
        }
        if let Some(other) = fingerprint_of(alias, found).filter(|other| *other != space.fingerprint) {
            problems.push(format!(
                "the collection '{name}' holds vectors of {model} (fingerprint {other}), which cannot be compared with \
                 those of the model '{}' (fingerprint {}); use the model that filled it, or {way_out}",
                space.model, space.fingerprint
            ));
        }
        problems
    }
}

/// The fingerprint of the model that filled the collection `found` behind `alias`, if anything tells.
fn fingerprint_of<'a>(alias: &str, found: &'a Description) -> Option<&'a str> {
    // Servers before 1.16 keep no metadata: there the fingerprint in the name has to do.
    found.layout.metadata_text(FINGERPRINT_KEY).or_else(|| {
        found
            .name
            .strip_prefix(alias)?
            .strip_prefix("__")
            .filter(|suffix| *suffix != EXTERNAL)
    })
}

/// Why `name` cannot name a collection; `None` if it can. Qdrant's own rules, and room for the fingerprint that is put
/// behind it.
pub(crate) fn name_problem(name: &str) -> Option<String> {
    const FORBIDDEN: &[char] = &['/', '\\', '?', '*', '<', '>', '|', '"', ':', '%', '\0'];
    if name.is_empty() {
        Some("the name of the collection is empty".to_string())
    } else if name.len() > 180 {
        Some(format!("the collection name '{name}' is longer than 180 bytes"))
    } else if name.contains(FORBIDDEN) || name.contains(char::is_control) || name == "." || name == ".." {
        Some(format!(
            "the collection name {name:?} holds a character that Qdrant does not allow"
        ))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for name in [
            "",
            ".",
            "..",
            "../media",
            "a/b",
            "a\\b",
            "a\0b",
            "a\nb",
            "a:b",
            &"x".repeat(181),
        ] {
            assert!(name_problem(name).is_some(), "{name:?}");
        }
        for name in ["media", "Media 2.0", "médias", "a-b_c"] {
            assert_eq!(name_problem(name), None, "{name:?}");
        }
    }

    #[test]
    fn a_vector_that_does_not_fit_is_told_from_one_that_does() {
        let params = VectorParams {
            size: 2,
            distance: Distance::Cosine,
        };
        let layout = Layout {
            vectors: [(String::new(), params)].into(),
            metadata: Map::new(),
        };
        assert_eq!(layout.misfit(&Vectors::Unnamed(vec![1.0, 0.0])), None);
        let reason = layout
            .misfit(&Vectors::Unnamed(vec![1.0]))
            .expect("one number where there are two");
        assert_eq!(reason, "unnamed vector has 1 numbers where the collection has 2");
        let named = Vectors::Named([("image".to_string(), vec![1.0, 0.0])].into());
        let reason = layout.misfit(&named).expect("there is no such vector");
        assert_eq!(reason, "the collection has no vector `image`, it has unnamed vector");
    }
}
