//! Captions of clips.

use super::Told;
use super::words::{article, colour, join, thing};
use crate::scenes::dice::Dice;
use crate::scenes::world::Combination;

const SHAPE: usize = 0;
const COLOUR: usize = 1;
const BACKGROUND: usize = 3;

/// What of a clip a caption may leave out: never what happens.
pub fn told(dice: &mut Dice) -> Told {
    let mut told = Told::ALL;
    match dice.below(100) {
        0..15 => told.forget(dice.pick(&[SHAPE, COLOUR])),
        15..35 => told.forget(BACKGROUND),
        _ => {}
    }
    told
}

/// A caption of something that moves.
pub fn motion(scene: &Combination, told: Told, dice: &mut Dice) -> String {
    let noun = if told.has(SHAPE) {
        thing(scene.named("shape"), dice).0
    } else {
        "thing"
    };
    let colour_word = if told.has(COLOUR) {
        colour(scene.named("colour"), dice)
    } else {
        ""
    };
    let described = join(&[colour_word, noun]);
    let described = if dice.chance(85) {
        join(&[article(&described), &described])
    } else {
        described
    };
    let (does, doing) = dice.pick::<(&str, &str)>(match scene.named("motion") {
        "left" => &[
            ("moves left", "moving left"),
            ("moves to the left", "moving to the left"),
            ("goes left", "going left"),
            ("slides to the left", "sliding to the left"),
        ],
        "right" => &[
            ("moves right", "moving right"),
            ("moves to the right", "moving to the right"),
            ("goes right", "going right"),
            ("slides to the right", "sliding to the right"),
        ],
        "up" => &[
            ("moves up", "moving up"),
            ("rises", "rising"),
            ("goes up", "going up"),
            ("climbs", "climbing"),
        ],
        "down" => &[
            ("moves down", "moving down"),
            ("falls", "falling"),
            ("goes down", "going down"),
            ("sinks", "sinking"),
        ],
        "grow" => &[
            ("grows", "growing"),
            ("gets larger", "getting larger"),
            ("gets bigger", "getting bigger"),
        ],
        "shrink" => &[
            ("shrinks", "shrinking"),
            ("gets smaller", "getting smaller"),
            ("becomes smaller", "becoming smaller"),
        ],
        "round" => &[
            ("goes round in a circle", "going round in a circle"),
            ("goes around", "going around"),
            ("circles around", "circling around"),
        ],
        _ => &[
            ("blinks", "blinking"),
            ("flashes on and off", "flashing on and off"),
            ("comes and goes", "coming and going"),
        ],
    });
    let ground = match told.has(BACKGROUND) {
        true => {
            let colour = colour(scene.named("background"), dice);
            let noun = dice.pick(&["background", "background", "backdrop", "ground"]);
            join(&[
                dice.pick(&["on", "on", "against", "over"]),
                article(colour),
                colour,
                noun,
            ])
        }
        false => String::new(),
    };
    match dice.below(6) {
        0 | 1 => join(&[&described, does, &ground]),
        2 => join(&[&described, doing, &ground]),
        3 if !ground.is_empty() => join(&[&ground, &described, does]),
        4 => join(&[&described, &ground, doing]),
        _ => join(&[
            dice.pick(&["a video of", "a film of", "a clip of", "video of"]),
            &described,
            doing,
            &ground,
        ]),
    }
}
