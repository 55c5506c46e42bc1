//! What there is in the scenes: families, their attributes, and combinations of values.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::dice::Dice;

/// The most attributes that a family has.
pub const MOST_ATTRIBUTES: usize = 6;

/// Colours of things; the first ones of [`GROUNDS`].
pub const COLOURS: &[&str] = &["red", "orange", "yellow", "green", "blue", "purple", "black", "white"];

/// Colours of backgrounds.
pub const GROUNDS: &[&str] = &[
    "red", "orange", "yellow", "green", "blue", "purple", "black", "white", "grey",
];

/// What an attribute is called, and what it can be.
#[derive(Debug)]
pub struct Attribute {
    /// Its name in files.
    pub name: &'static str,
    /// The names of its values in files.
    pub values: &'static [&'static str],
}

/// A kind of scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// One to four equal things somewhere on a background.
    Objects,
    /// A thing that does something: a clip of eight frames.
    Motion,
    /// A page: two large words and what is below them.
    Page,
    /// A picture that is all pattern, in two colours.
    Pattern,
    /// A place, with or without a thing in it.
    View,
    /// One large thing on an even background, as on a sign.
    Sign,
}

const fn attribute(name: &'static str, values: &'static [&'static str]) -> Attribute {
    Attribute { name, values }
}

const SHAPES: Attribute = attribute(
    "shape",
    &[
        "circle", "square", "triangle", "star", "heart", "cross", "ring", "house", "tree", "fish",
    ],
);

const OBJECTS: &[Attribute] = &[
    SHAPES,
    attribute("colour", COLOURS),
    attribute("count", &["1", "2", "3", "4"]),
    attribute("position", &["left", "right", "top", "bottom", "middle"]),
    attribute("background", GROUNDS),
    attribute("texture", &["plain", "stripes", "checks", "dots"]),
];

const MOTION: &[Attribute] = &[
    attribute("shape", &["circle", "square", "triangle", "star", "heart", "cross"]),
    attribute("colour", COLOURS),
    attribute(
        "motion",
        &["left", "right", "up", "down", "grow", "shrink", "round", "blink"],
    ),
    attribute("background", GROUNDS),
];

const PAGE: &[Attribute] = &[
    attribute(
        "topic",
        &[
            "city", "school", "travel", "energy", "garden", "sport", "music", "health",
        ],
    ),
    attribute("sort", &["report", "plan", "news", "budget", "list", "survey"]),
    attribute(
        "content",
        &[
            "table 2x2",
            "table 2x3",
            "table 2x4",
            "table 3x2",
            "table 3x3",
            "table 3x4",
            "table 4x2",
            "table 4x3",
            "table 4x4",
            "bars 2",
            "bars 3",
            "bars 4",
            "bars 5",
            "line rising",
            "line falling",
            "line peak",
            "pie 2",
            "pie 3",
            "pie 4",
            "text",
        ],
    ),
    attribute("colour", &["red", "orange", "green", "blue", "purple", "black"]),
];

const PATTERN: &[Attribute] = &[
    attribute("pattern", &["upright", "level", "checkerboard", "dots", "rings"]),
    attribute("colour", COLOURS),
    attribute("background", GROUNDS),
];

const VIEW: &[Attribute] = &[
    attribute(
        "place",
        &["sea", "meadow", "desert", "snow", "city", "mountains", "road", "sunset"],
    ),
    attribute("thing", &["nothing", "bicycle", "boat", "car", "house", "tree"]),
    attribute(
        "colour",
        &["red", "orange", "yellow", "green", "blue", "purple", "white"],
    ),
];

const SIGN: &[Attribute] = &[SHAPES, attribute("colour", COLOURS), attribute("background", GROUNDS)];

impl Family {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Objects,
        Self::Motion,
        Self::Page,
        Self::Pattern,
        Self::View,
        Self::Sign,
    ];

    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Objects => "objects",
            Self::Motion => "motion",
            Self::Page => "page",
            Self::Pattern => "pattern",
            Self::View => "view",
            Self::Sign => "sign",
        }
    }

    /// Its attributes, at most [`MOST_ATTRIBUTES`].
    pub fn attributes(self) -> &'static [Attribute] {
        match self {
            Self::Objects => OBJECTS,
            Self::Motion => MOTION,
            Self::Page => PAGE,
            Self::Pattern => PATTERN,
            Self::View => VIEW,
            Self::Sign => SIGN,
        }
    }

    /// The place of an attribute among the family's, by its name.
    pub fn place_of(self, attribute: &str) -> Option<usize> {
        self.attributes().iter().position(|known| known.name == attribute)
    }
}

/// A value for each attribute of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Combination {
    family: Family,
    /// Indices of values; 0 behind the family's attributes.
    values: [u8; MOST_ATTRIBUTES],
}

impl Combination {
    /// One at random that can be drawn.
    pub fn random(family: Family, dice: &mut Dice) -> Self {
        loop {
            let mut values = [0; MOST_ATTRIBUTES];
            for (value, attribute) in values.iter_mut().zip(family.attributes()) {
                *value = dice.below(attribute.values.len() as u32) as u8;
            }
            let combination = Self { family, values };
            if combination.can_be_drawn() {
                return combination;
            }
        }
    }

    /// All of a family that can be drawn, in the order of their values.
    pub fn all(family: Family) -> Vec<Self> {
        let mut all = vec![[0; MOST_ATTRIBUTES]];
        for (place, attribute) in family.attributes().iter().enumerate() {
            all = all
                .into_iter()
                .flat_map(|values| {
                    (0..attribute.values.len()).map(move |value| {
                        let mut values = values;
                        values[place] = value as u8;
                        values
                    })
                })
                .collect();
        }
        let all = all.into_iter().map(|values| Self { family, values });
        all.filter(Self::can_be_drawn).collect()
    }

    /// Its family.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The index of an attribute's value; the attribute is told by its place in the family.
    pub fn value(&self, place: usize) -> usize {
        usize::from(self.values[place])
    }

    /// The name of an attribute's value.
    ///
    /// # Panics
    /// If the family has no such attribute: what asks knows its family.
    pub fn named(&self, attribute: &str) -> &'static str {
        let place = self.family.place_of(attribute).expect("an attribute of this family");
        self.family.attributes()[place].values[self.value(place)]
    }

    /// This one with another value.
    pub fn with(&self, place: usize, value: usize) -> Self {
        let mut other = *self;
        other.values[place] = value as u8;
        other
    }

    /// All that differ from it in one attribute and can be drawn, with the place of that attribute.
    pub fn neighbours(&self) -> Vec<(usize, Self)> {
        let attributes = self.family.attributes().iter().enumerate();
        attributes
            .flat_map(|(place, attribute)| (0..attribute.values.len()).map(move |value| (place, value)))
            .filter(|(place, value)| self.value(*place) != *value)
            .map(|(place, value)| (place, self.with(place, value)))
            .filter(|(_, other)| other.can_be_drawn())
            .collect()
    }

    /// In how many attributes two of one family differ.
    pub fn distance(&self, other: &Self) -> usize {
        self.values
            .iter()
            .zip(&other.values)
            .filter(|(one, two)| one != two)
            .count()
    }

    /// Whether all of it would be seen: nothing has the colour of its background, a place without a thing has no colour of
    /// one (so it is the first), a boat is on the water, and a car is not.
    fn can_be_drawn(&self) -> bool {
        match self.family {
            Family::Objects | Family::Motion | Family::Pattern | Family::Sign => {
                self.named("colour") != self.named("background")
            }
            Family::Page => true,
            Family::View => {
                let water = matches!(self.named("place"), "sea" | "sunset");
                match self.named("thing") {
                    "nothing" => self.named("colour") == "red",
                    "boat" => water,
                    "bicycle" => true,
                    // Snow, and the white walls of a house in it, would be one.
                    _ => !water && (self.named("place") != "snow" || self.named("colour") != "white"),
                }
            }
        }
    }

    /// What it says of each attribute, for a hash: `objects/circle/red/3/left/green/plain`.
    pub fn key(&self) -> String {
        let attributes = self.family.attributes().iter().enumerate();
        let mut key = self.family.name().to_owned();
        for (place, attribute) in attributes {
            key.push('/');
            key.push_str(attribute.values[self.value(place)]);
        }
        key
    }
}

/// A combination, drawn in one of many ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Spec", into = "Spec")]
pub struct Scene {
    /// What is seen.
    pub combination: Combination,
    /// Says where exactly, how large, and in which shade.
    pub variant: u32,
}

/// A scene as files have it: `{"family": …, "variant": …, "shape": …, …}`.
#[derive(Serialize, Deserialize)]
struct Spec {
    family: Family,
    variant: u32,
    #[serde(flatten)]
    values: BTreeMap<String, String>,
}

impl From<Scene> for Spec {
    fn from(scene: Scene) -> Self {
        let family = scene.combination.family;
        let attributes = family.attributes().iter();
        let named = |name: &str| scene.combination.named(name).to_owned();
        Self {
            family,
            variant: scene.variant,
            values: attributes
                .map(|attribute| (attribute.name.to_owned(), named(attribute.name)))
                .collect(),
        }
    }
}

impl TryFrom<Spec> for Scene {
    type Error = String;

    fn try_from(mut spec: Spec) -> Result<Self, String> {
        let family = spec.family;
        let mut values = [0; MOST_ATTRIBUTES];
        for (value, attribute) in values.iter_mut().zip(family.attributes()) {
            let Some(named) = spec.values.remove(attribute.name) else {
                return Err(format!("a scene of `{}` needs `{}`", family.name(), attribute.name));
            };
            let place = attribute.values.iter().position(|known| *known == named);
            *value = place.ok_or_else(|| format!("`{named}` is no `{}`", attribute.name))? as u8;
        }
        if let Some(unknown) = spec.values.keys().next() {
            return Err(format!("a scene of `{}` has no `{unknown}`", family.name()));
        }
        let combination = Combination { family, values };
        if !combination.can_be_drawn() {
            return Err(format!("{} cannot be drawn", combination.key()));
        }
        Ok(Self {
            combination,
            variant: spec.variant,
        })
    }
}
