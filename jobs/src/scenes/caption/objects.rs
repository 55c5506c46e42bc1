//! Captions of objects on a background, of signs, and of patterns.

use super::Told;
use super::words::{article, colour, count, join, position, thing};
use crate::scenes::dice::Dice;
use crate::scenes::world::Combination;

/// The places of the attributes in [`Told`].
const SHAPE: usize = 0;
const COLOUR: usize = 1;
const COUNT: usize = 2;
const POSITION: usize = 3;
const BACKGROUND: usize = 4;
const TEXTURE: usize = 5;

/// What of objects a caption may leave out: never all that tells what they are.
pub fn told(dice: &mut Dice) -> Told {
    let mut told = Told::ALL;
    match dice.below(100) {
        // Two attributes fewer, or one.
        0..25 => {
            told.forget(dice.pick(&[SHAPE, COLOUR, COUNT, POSITION, BACKGROUND, TEXTURE]));
            told.forget(dice.pick(&[COUNT, POSITION, TEXTURE]));
        }
        // As people search.
        25..40 => {
            told.forget(BACKGROUND);
            told.forget(TEXTURE);
            for attribute in [COUNT, POSITION] {
                if dice.chance(60) {
                    told.forget(attribute);
                }
            }
        }
        _ => {}
    }
    told
}

/// A caption of objects.
pub fn objects(scene: &Combination, told: Told, dice: &mut Dice) -> String {
    let things = things(scene, told, dice);
    let place = if told.has(POSITION) {
        position(scene.named("position"), dice)
    } else {
        ""
    };
    let ground = background(scene, told, dice);
    let on = match ground.as_str() {
        "" => String::new(),
        ground => join(&[dice.pick(&["on", "on", "on", "against", "over"]), ground]),
    };
    let comma = |words: &str| {
        if words.is_empty() {
            String::new()
        } else {
            format!("{words},")
        }
    };
    match dice.below(7) {
        0 | 1 => join(&[&things, place, &on]),
        2 => join(&[&things, &on, place]),
        3 => join(&[&comma(place), &things, &on]),
        4 if !ground.is_empty() => join(&[&ground, "with", &things, place]),
        5 => join(&[
            dice.pick(&[
                "a picture of",
                "an image of",
                "a drawing of",
                "a painting of",
                "picture of",
            ]),
            &things,
            place,
            &on,
        ]),
        _ => {
            let verb = match scene.named("count") {
                "1" => dice.pick(&["there is", "here is", "find", "show me", "we see"]),
                _ => dice.pick(&["there are", "here are", "find", "show me", "we see"]),
            };
            join(&[verb, &things, place, &on])
        }
    }
}

/// `three red circles`, with what is told of it.
fn things(scene: &Combination, told: Told, dice: &mut Dice) -> String {
    let one = scene.named("count") == "1";
    let (single, several) = match told.has(SHAPE) {
        true => thing(scene.named("shape"), dice),
        false => dice.pick(&[("thing", "things"), ("object", "objects")]),
    };
    let noun = if one { single } else { several };
    let colour = if told.has(COLOUR) {
        colour(scene.named("colour"), dice)
    } else {
        ""
    };
    let described = join(&[colour, noun]);
    match told.has(COUNT) {
        true => join(&[count(scene.named("count"), &described, dice), &described]),
        // Without a number there may be an article, or not: as in `red circle`.
        false if one && dice.chance(50) => join(&[article(&described), &described]),
        false => described,
    }
}

/// `a striped green background`, with what is told of it.
fn background(scene: &Combination, told: Told, dice: &mut Dice) -> String {
    let colour = if told.has(BACKGROUND) {
        colour(scene.named("background"), dice)
    } else {
        ""
    };
    let noun = dice.pick(&["background", "background", "backdrop", "ground"]);
    let texture = if told.has(TEXTURE) { scene.named("texture") } else { "" };
    let before: &str = dice.pick(match texture {
        "plain" => &["plain", "plain", "solid"],
        "stripes" => &["striped"],
        "checks" => &["checkered", "checked"],
        "dots" => &["dotted", "spotted"],
        _ => &[""],
    });
    if colour.is_empty() && before.is_empty() {
        return String::new();
    }
    let behind: &str = match texture {
        "stripes" => "with stripes",
        "checks" => "with checks",
        "dots" => "with dots",
        _ => "",
    };
    let words = match dice.below(4) {
        0 => join(&[before, colour, noun]),
        1 => join(&[colour, before, noun]),
        2 if !behind.is_empty() => join(&[colour, noun, behind]),
        _ => join(&[before, colour, noun]),
    };
    join(&[article(&words), &words])
}

/// A caption of a sign.
pub fn sign(scene: &Combination, dice: &mut Dice) -> String {
    let noun = thing(scene.named("shape"), dice).0;
    let described = join(&[colour(scene.named("colour"), dice), noun]);
    let described = match dice.below(3) {
        0 => described,
        1 => join(&["one", &described]),
        _ => join(&[article(&described), &described]),
    };
    let ground = colour(scene.named("background"), dice);
    match dice.below(6) {
        0 | 1 => described,
        2 => join(&[
            dice.pick(&["a picture of", "an image of", "a drawing of"]),
            &described,
            "on",
            ground,
        ]),
        3 => join(&[&described, "on", ground]),
        _ => join(&[
            &described,
            dice.pick(&["on", "on", "against"]),
            article(ground),
            ground,
            dice.pick(&["background", "background", "ground"]),
        ]),
    }
}

/// A caption of a pattern.
pub fn pattern(scene: &Combination, dice: &mut Dice) -> String {
    let (one, two) = (
        colour(scene.named("colour"), dice),
        colour(scene.named("background"), dice),
    );
    let name = scene.named("pattern");
    // Stripes and squares are as much of one colour as of the other.
    let even = matches!(name, "upright" | "level" | "checkerboard");
    let (one, two) = if even && dice.chance(50) {
        (two, one)
    } else {
        (one, two)
    };
    let both = if dice.chance(25) {
        one.to_owned()
    } else {
        format!("{one} and {two}")
    };
    match name {
        "upright" | "level" => {
            let way: &str = dice.pick(match name {
                "upright" => &["upright", "vertical", ""],
                _ => &["level", "horizontal", ""],
            });
            match dice.below(3) {
                0 => join(&[&both, way, "stripes"]),
                1 => join(&[way, "stripes in", &both]),
                _ => join(&["a pattern of", way, &both, "stripes"]),
            }
        }
        "checkerboard" => match dice.below(3) {
            0 => join(&[&both, "checkerboard"]),
            1 => join(&["a checkerboard in", &both]),
            _ => join(&["a", &both, "chess board"]),
        },
        "dots" => match dice.below(3) {
            0 => format!("rows of {one} dots on {two}"),
            1 => format!("{one} dots"),
            _ => format!("a pattern of {one} dots on a {two} ground"),
        },
        _ => match dice.below(3) {
            0 => join(&["a target of", &both, "rings"]),
            1 => join(&["concentric rings in", &both]),
            _ => join(&["a", &both, "target"]),
        },
    }
}
