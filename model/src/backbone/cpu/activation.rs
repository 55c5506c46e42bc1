//! What stands between products, written so that the compiler takes as many numbers at once as the CPU can.

use pulp::{Arch, Simd, WithSimd};

/// `e^x` for `x` up to 88, within two units in the last place; 0 where it is below the smallest normal number, and no number
/// where `x` is none.
///
/// `x = n ln 2 + r`, and `e^r` by a polynomial on `|r| <= ln 2 / 2`; `n` goes into the exponent's bits.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LOWEST: f32 = -87.336_54;
    /// Adding it leaves a number's nearest integer in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // Not `max`, which would make a number of what is none.
    let inside = if x < LOWEST { LOWEST } else { x };
    let shifted = inside.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, inside));
    let p = r.mul_add(1.987_569_1e-4, 1.398_2e-3);
    let p = r.mul_add(p, 8.333_452e-3);
    let p = r.mul_add(p, 4.166_579_6e-2);
    let p = r.mul_add(p, 1.666_666_5e-1);
    let p = r.mul_add(p, 0.5);
    let power = (r * r).mul_add(p, r) + 1.0;
    let scaled = f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23));
    if x < LOWEST { 0.0 } else { scaled }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp((-x).min(88.0)))
}

/// The error function, within 2e-7: formula 7.1.26 of Abramowitz and Stegun.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let size = x.abs();
    let t = 1.0 / size.mul_add(0.327_591_1, 1.0);
    let p = t.mul_add(1.061_405_4, -1.453_152);
    let p = t.mul_add(p, 1.421_413_7);
    let p = t.mul_add(p, -0.284_496_74);
    let p = t.mul_add(p, 0.254_829_6);
    (1.0 - p * t * exp(-size * size)).copysign(x)
}

/// A function of each number, and the loop over them for each kind of CPU.
macro_rules! elementwise {
    ($(#[$doc:meta])* $name:ident, $operation:ident, |$x:ident| $result:expr) => {
        $(#[$doc])*
        pub fn $name(numbers: &mut [f32]) {
            Arch::new().dispatch($operation(numbers));
        }

        struct $operation<'a>(&'a mut [f32]);

        impl WithSimd for $operation<'_> {
            type Output = ();

            #[inline(always)]
            fn with_simd<S: Simd>(self, _: S) {
                for number in self.0 {
                    let $x = *number;
                    *number = $result;
                }
            }
        }
    };
}

elementwise! {
    /// `x · sigmoid(1.702 x)` in place: the vision tower's MLP.
    quick_gelu, QuickGelu, |x| x * sigmoid(1.702 * x)
}

elementwise! {
    /// The GELU by the error function, in place: the vision tower's merger.
    gelu, Gelu, |x| 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// `silu(gate) · up`, in the place of `gate`: the language model's MLP.
pub fn swiglu(gate: &mut [f32], up: &[f32]) {
    Arch::new().dispatch(Swiglu { gate, up });
}

struct Swiglu<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl WithSimd for Swiglu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (gate, up) in self.gate.iter_mut().zip(self.up) {
            *gate = *gate * sigmoid(*gate) * up;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers() -> impl Iterator<Item = f32> {
        (-2000..=2000).map(|i| i as f32 / 23.0)
    }

    #[test]
    fn powers_are_those_of_the_standard_library_to_the_last_bits() {
        for x in numbers() {
            let expected = f64::from(x).exp();
            let difference = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(difference < 3e-7, "{x}: {difference}");
        }
        assert_eq!([exp(0.0), exp(-100.0), exp(f32::NEG_INFINITY)], [1.0, 0.0, 0.0]);
        assert!(exp(f32::NAN).is_nan() && exp(-f32::NAN).is_nan());
    }

    #[test]
    fn activations_are_their_formulas() {
        let close = |found: f32, expected: f64| (f64::from(found) - expected).abs() <= 4e-7 * expected.abs().max(1.0);
        for x in numbers().chain([1e4, -1e4]) {
            let wide = f64::from(x);
            let mut found = [x];
            quick_gelu(&mut found);
            assert!(
                close(found[0], wide / (1.0 + (-1.702 * wide).exp())),
                "quick_gelu({x}) = {}",
                found[0]
            );
            let mut found = [x];
            swiglu(&mut found, &[-2.0]);
            assert!(
                close(found[0], -2.0 * wide / (1.0 + (-wide).exp())),
                "swiglu({x}, -2) = {}",
                found[0]
            );
        }
        // By the function's series, and its limits.
        for (x, expected) in [
            (0.0, 0.0),
            (0.5, 0.345_731_2),
            (-1.0, -0.158_655_3),
            (3.0, 2.995_950_3),
            (-20.0, 0.0),
        ] {
            let mut found = [x];
            gelu(&mut found);
            assert!(close(found[0], expected), "gelu({x}) = {}", found[0]);
        }
    }
}
