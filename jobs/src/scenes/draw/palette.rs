//! Which pixels a colour's name stands for.

use super::canvas::{Colour, blend};
use crate::scenes::dice::Dice;

/// Near black.
pub const DARK: Colour = [26, 26, 28];
/// Near white.
pub const LIGHT: Colour = [250, 250, 248];

/// The pixels of a name in [`crate::scenes::world::GROUNDS`].
///
/// # Panics
/// For another name: names are the world's.
pub fn pure(name: &str) -> Colour {
    match name {
        "red" => [214, 38, 38],
        "orange" => [242, 128, 36],
        "yellow" => [247, 205, 62],
        "green" => [44, 145, 80],
        "blue" => [36, 84, 190],
        "purple" => [122, 62, 172],
        "black" => DARK,
        "white" => LIGHT,
        "grey" => [165, 165, 168],
        _ => unreachable!("`{name}` is no colour of the world"),
    }
}

/// A shade of it, as things have it.
pub fn shade(name: &str, dice: &mut Dice) -> Colour {
    let shifts = [dice.between(-10, 10), dice.between(-10, 10), dice.between(-10, 10)];
    let pure = pure(name);
    std::array::from_fn(|channel| (i32::from(pure[channel]) + shifts[channel]).clamp(0, 255) as u8)
}

/// A shade of it, as backgrounds have it: often a little lighter.
pub fn ground(name: &str, dice: &mut Dice) -> Colour {
    let lighter = dice.between(-20, 30).max(0);
    let shade = shade(name, dice);
    match name {
        "black" | "white" | "grey" => shade,
        _ => blend(shade, LIGHT, lighter),
    }
}

/// A second shade of a background, for its texture: seen, and no other colour.
pub fn texture_of(ground: Colour, dice: &mut Dice) -> Colour {
    let strength = dice.between(24, 34);
    let bright: i32 = ground.iter().map(|channel| i32::from(*channel)).sum();
    // Black gets lighter stripes, all else darker ones.
    if bright < 160 {
        blend(ground, LIGHT, strength)
    } else {
        blend(ground, DARK, strength - 4)
    }
}
