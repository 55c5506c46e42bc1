//! A number's digits as the integer that a DECIMAL column keeps.

/// The most digits of a DECIMAL.
const DIGITS: usize = 38;

/// The unscaled value of `text` in a column of `precision` digits, `scale` of them behind the point. What is behind
/// those is cut off. `None` if it is no number, has more than 38 digits that count, or does not fit.
pub(super) fn parse(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    // An exponent that fits into no `i32` is absurd, even of a zero.
    let exponent: i64 = exponent
        .map_or(Some(0), |exponent| exponent.parse::<i32>().ok())?
        .into();
    let all = [whole, fraction].concat();
    let digits = all.trim_end_matches('0');
    let cut = (all.len() - digits.len()) as i64;
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    if digits.len() > DIGITS {
        return None;
    }
    let value: i128 = digits.parse().ok()?;
    // Tens to multiply by until the unit is the column's.
    let tens = exponent + cut - fraction.len() as i64 + i64::from(scale);
    let power = |tens: i64| u32::try_from(tens).ok().and_then(|tens| 10_i128.checked_pow(tens));
    let value = match tens {
        0.. => value.checked_mul(power(tens)?)?,
        // Beyond all of its digits nothing is left.
        _ => power(-tens).map_or(0, |power| value / power),
    };
    let fits = value < power(precision.into())?;
    fits.then_some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn numbers_are_scaled_exactly_and_cut_off() {
        let of = |text| parse(text, 10, 2);
        assert_eq!(of("12.5"), Some(1250));
        assert_eq!(of("-12.509"), Some(-1250));
        assert_eq!(of("+7"), Some(700));
        assert_eq!(of(".5"), Some(50));
        assert_eq!(of("5."), Some(500));
        assert_eq!(of("0.0010e3"), Some(100));
        assert_eq!(of("125e-1"), Some(1250));
        assert_eq!(of("1e-5"), Some(0));
        assert_eq!(of("99999999.99"), Some(9_999_999_999));
        assert_eq!(of("100000000"), None, "nine digits before the point");
        let most = "9".repeat(38);
        assert_eq!(parse(&most, 38, 0), most.parse().ok());
        assert_eq!(parse("1200", 10, -2), Some(12));
    }

    #[test]
    fn what_no_decimal_can_hold_is_refused() {
        let many = format!("1{}", "0".repeat(256));
        let precise = format!("{}e-38", "1234567890".repeat(5).get(..43).expect("50 digits"));
        let exponents = ["1e65536", "1e256", "1e-99999999999", "1e99999999999999999999"];
        let wrong = [
            "", "-", ".", "e5", "1e", "1.2.3", "0x1", "1_0", "NaN", "--1", " 1", "1e+-2",
        ];
        for text in exponents
            .into_iter()
            .chain(wrong)
            .chain([many.as_str(), precise.as_str()])
        {
            for (precision, scale) in [(10, 2), (38, 38), (38, 0)] {
                assert_eq!(parse(text, precision, scale), None, "{text}");
            }
        }
        assert_eq!(parse("1e-300", 10, 2), Some(0));
        assert_eq!(parse(&"1".repeat(39), 38, 0), None);
        assert_eq!(parse("1", 38, 38), None, "no digit before the point");
    }
}
