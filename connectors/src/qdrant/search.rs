//! Reading from a Qdrant: what the command line's search needs.

use std::str::FromStr;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::backend::{Backend, Nearest, Record};
use super::collection::{Distance, FINGERPRINT_KEY, MODEL_KEY};
use super::config::{ConnectionOptions, Location};
use super::embedded::EmbeddedBackend;
use super::grpc::GrpcBackend;
use super::ids::PointId;
use crate::ConnectorError;

/// A Qdrant that is read from: a server, or a folder.
#[derive(Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
}

/// A collection of a [`Store`].
#[derive(Clone)]
pub struct Collection {
    backend: Arc<dyn Backend>,
    /// The vector that is searched; empty for the unnamed one.
    vector_name: String,
    info: CollectionInfo,
}

/// What a collection holds.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectionInfo {
    /// The collection's own name (`media__3f2a…` where the alias is `media`).
    pub name: String,
    /// Numbers in a vector.
    pub dimension: usize,
    /// How vectors are compared.
    pub distance: Distance,
    /// The name of the model that made the vectors, where the collection says so.
    pub model: Option<String>,
    /// That model's fingerprint.
    pub fingerprint: Option<String>,
    /// The points in it; near the truth while it is being written.
    pub points: u64,
}

/// A point that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// The point's id. The text that it was made from, if it was, is in the payload under `id`.
    pub id: String,
    /// How near it is, by the collection's distance.
    pub score: f32,
    /// The payload.
    pub payload: Map<String, Value>,
}

/// A condition on a payload field: `field=value`. It holds for texts equal to the value, and for numbers and booleans
/// that the value names; for a list, if it holds for one of the items. `id` is the row's id, whatever its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The field; `a.b` is `b` inside of `a`.
    pub field: String,
    /// The value.
    pub value: String,
}

/// One of the ways in which a [`Filter`] may hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Test {
    /// The point has this id.
    Id(PointId),
    /// The field is this text.
    Keyword(String),
    /// The field is this integer.
    Integer(i64),
    /// The field is this truth value.
    Boolean(bool),
    /// The field is this number.
    Number(f64),
}

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((field, value)) if !field.is_empty() => Ok(Self {
                field: field.to_string(),
                value: value.to_string(),
            }),
            _ => Err(format!("'{text}' is no condition; write field=value")),
        }
    }
}

impl Filter {
    /// The ways in which the filter may hold.
    pub(crate) fn tests(&self) -> Vec<Test> {
        let mut tests = vec![Test::Keyword(self.value.clone())];
        if self.field == "id" {
            tests.push(Test::Id(PointId::from_text(&self.value)));
        }
        if let Ok(truth) = self.value.parse() {
            tests.push(Test::Boolean(truth));
        }
        if let Ok(number) = self.value.parse() {
            tests.push(Test::Integer(number));
        }
        // Beyond 2^53 a double is no exact integer, and the integer test has to do.
        if let Ok(number) = self.value.parse::<f64>()
            && number.abs() <= 9_007_199_254_740_992.0
        {
            tests.push(Test::Number(number));
        }
        tests
    }
}

impl Store {
    /// Opens the Qdrant at `url`: `http(s)://HOST[:6334]` or `embedded:PATH`. A server is connected to with the first
    /// request, which fails at once if it is away.
    ///
    /// # Errors
    /// [`ConnectorError::Refused`] for a URL that is neither, a folder that is no store or that another process has
    /// open.
    pub async fn open(url: &str, api_key: Option<&str>) -> Result<Self, ConnectorError> {
        let location = Location::parse(url).map_err(|message| ConnectorError::Refused {
            system: "Qdrant".to_string(),
            message,
        })?;
        let backend: Arc<dyn Backend> = match location {
            Location::Server { url } => {
                let options = ConnectionOptions {
                    api_key: api_key.map(str::to_string),
                    ..Default::default()
                };
                Arc::new(GrpcBackend::new(&url, &options, None, 256)?)
            }
            Location::Embedded { path } => Arc::new(EmbeddedBackend::open(&path, false).await?),
        };
        Ok(Self { backend })
    }

    /// The collection of that name, or behind that alias.
    ///
    /// # Errors
    /// [`ConnectorError::Refused`] if there is none, or it holds no dense vectors.
    pub async fn collection(&self, name: &str) -> Result<Collection, ConnectorError> {
        let target = self.backend.alias_target(name).await?;
        let found = self.backend.describe(target.as_deref().unwrap_or(name)).await?;
        let Some(found) = found else {
            return Err(self.backend.refusal(format!(
                "there is no collection or alias '{name}'; has a pipeline written to it yet?"
            )));
        };
        // The unnamed vector sorts first.
        let Some((vector_name, params)) = found.layout.vectors.first_key_value() else {
            return Err(self
                .backend
                .refusal(format!("the collection '{}' holds no dense vectors", found.name)));
        };
        let info = CollectionInfo {
            dimension: params.size,
            distance: params.distance,
            model: found.layout.metadata_text(MODEL_KEY).map(str::to_string),
            fingerprint: found.layout.metadata_text(FINGERPRINT_KEY).map(str::to_string),
            points: found.points,
            name: found.name,
        };
        Ok(Collection {
            backend: Arc::clone(&self.backend),
            vector_name: vector_name.clone(),
            info,
        })
    }
}

impl Collection {
    /// What it holds, as of when it was looked up.
    pub fn info(&self) -> &CollectionInfo {
        &self.info
    }

    /// The `limit` points nearest to `vector` for which all `filters` hold, the best first.
    ///
    /// # Errors
    /// [`ConnectorError::Refused`] if the vector has another dimension or a filter's field is no path.
    pub async fn search(&self, vector: Vec<f32>, filters: &[Filter], limit: usize) -> Result<Vec<Hit>, ConnectorError> {
        if vector.len() != self.info.dimension {
            return Err(self.backend.refusal(format!(
                "the collection '{}' holds vectors of {} numbers, and the query has {}; use the model that filled it",
                self.info.name,
                self.info.dimension,
                vector.len()
            )));
        }
        let query = Nearest {
            vector,
            using: &self.vector_name,
            filters,
            limit,
        };
        self.backend.search(&self.info.name, query).await
    }

    /// How many points there are for which all `filters` hold.
    pub async fn count(&self, filters: &[Filter]) -> Result<u64, ConnectorError> {
        self.backend.count(&self.info.name, filters).await
    }

    /// The points of these ids; ids that are not there are left out.
    pub async fn get(&self, ids: &[PointId]) -> Result<Vec<Record>, ConnectorError> {
        self.backend.get(&self.info.name, ids).await
    }

    /// `limit` points from the id `from` on, in the order of the ids, and the id to go on from.
    pub async fn scroll(
        &self,
        from: Option<PointId>,
        limit: usize,
    ) -> Result<(Vec<Record>, Option<PointId>), ConnectorError> {
        self.backend.scroll(&self.info.name, from, limit).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_field_and_a_value() {
        let filter: Filter = "query=a=b".parse().expect("a field and a value");
        assert_eq!((filter.field.as_str(), filter.value.as_str()), ("query", "a=b"));
        assert!("year".parse::<Filter>().is_err());
        assert!("=1".parse::<Filter>().is_err());
    }

    #[test]
    fn a_value_is_tested_as_every_type_it_may_be() {
        let tests = |field: &str, value: &str| {
            Filter {
                field: field.to_string(),
                value: value.to_string(),
            }
            .tests()
        };
        assert_eq!(tests("colour", "red"), [Test::Keyword("red".into())]);
        assert_eq!(
            tests("seen", "true"),
            [Test::Keyword("true".into()), Test::Boolean(true)]
        );
        assert_eq!(
            tests("year", "7"),
            [Test::Keyword("7".into()), Test::Integer(7), Test::Number(7.0)]
        );
        assert_eq!(
            tests("id", "a"),
            [Test::Keyword("a".into()), Test::Id(PointId::from_text("a"))]
        );
    }
}
