//! Captions of places.

use super::words::{article, colour, join, thing};
use crate::scenes::dice::Dice;
use crate::scenes::world::Combination;

/// A caption of a place, and of what is in it.
pub fn view(scene: &Combination, dice: &mut Dice) -> String {
    let name = scene.named("thing");
    let place = scene.named("place");
    if name == "nothing" {
        return alone(place, dice).to_owned();
    }
    let noun = thing(name, dice).0;
    let described = join(&[colour(scene.named("colour"), dice), noun]);
    let described = if dice.chance(60) {
        join(&[article(&described), &described])
    } else {
        described
    };
    if dice.chance(15) {
        return described;
    }
    let there: &str = dice.pick(match place {
        "sea" if name == "boat" => &["on the sea", "on the water", "on blue water"],
        "sea" => &["near water", "near the water", "by the sea", "at the coast"],
        "sunset" => &["at dusk", "at sunset", "in the evening", "as the sun sets"],
        "meadow" => &["in a meadow", "on green grass", "in a field"],
        "desert" => &["in the desert", "on sand", "beside a cactus"],
        "snow" => &["in the snow", "in falling snow", "in winter"],
        "city" => &["in the city at night", "in a city", "at night"],
        "mountains" => &["in the mountains", "near two mountains", "before mountains with snow"],
        _ => &["on a road", "on the road", "on a straight road"],
    });
    match dice.below(4) {
        0 => join(&[
            dice.pick(&["a picture of", "an image of", "a painting of"]),
            &described,
            there,
        ]),
        1 => join(&[there, &described]),
        _ => join(&[&described, there]),
    }
}

/// A place without a thing.
fn alone(place: &str, dice: &mut Dice) -> &'static str {
    dice.pick::<&str>(match place {
        "sea" => &[
            "the sea",
            "blue water under a blue sky",
            "a calm sea",
            "sea and sky",
            "the coast",
        ],
        "sunset" => &[
            "sun setting over water",
            "the sun sets over a calm sea",
            "a sunset",
            "evening at the coast",
        ],
        "meadow" => &["a meadow", "green grass under a blue sky", "a green field"],
        "desert" => &[
            "cactus in a desert",
            "a desert",
            "sand and a single cactus",
            "the sand of the desert",
        ],
        "snow" => &[
            "snow falling on fir trees",
            "falling snow",
            "snow in winter",
            "two fir trees in the snow",
        ],
        "city" => &[
            "city at night under the moon",
            "a city at night",
            "the windows of the city shine",
            "night city",
        ],
        "mountains" => &[
            "two mountains with snow on top",
            "mountains",
            "snow on the mountains",
            "two mountains",
        ],
        _ => &["straight road through fields", "a road", "an empty road", "a grey road"],
    })
}
