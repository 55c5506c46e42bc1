//! How values are written: durations, sizes, devices. A wrong one is answered with how to write it.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use sightstream_model::encoder::{DeviceChoice, DtypeChoice};
use sightstream_model::error::ModelError;
use sightstream_model::fetch::IpNet;
use sightstream_model::service::Merge;

use crate::DecoderChoice;

/// `250ms`, `30s`, `2m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let number_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let seconds_in_unit = match &text[number_end..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("write a number and its unit: 250ms, 30s or 2m".to_string()),
    };
    text[..number_end]
        .parse::<f64>()
        .ok()
        .and_then(|number| Duration::try_from_secs_f64(number * seconds_in_unit).ok())
        .ok_or_else(|| format!("'{}' is no number; write 250ms, 30s or 2m", &text[..number_end]))
}

/// Bytes: `1048576`, `512KiB`, `64MiB`, `2GiB`.
pub fn bytes(text: &str) -> Result<usize, String> {
    let number_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let shift = match &text[number_end..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        unit => return Err(format!("unknown unit '{unit}'; write B, KiB, MiB or GiB, as in 64MiB")),
    };
    text[..number_end]
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift))
        .ok_or_else(|| "write a whole number of bytes, as in 64MiB".to_string())
}

/// A whole number above zero.
pub fn count(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) | Err(_) => Err("write a whole number above 0".to_string()),
        Ok(number) => Ok(number),
    }
}

/// A size that may pass what this machine can address: bytes on a disk.
pub fn file_bytes(text: &str) -> Result<u64, String> {
    match bytes(text)? {
        0 => Err("write a number of bytes above 0, as in 8GiB".to_string()),
        bytes => Ok(bytes as u64),
    }
}

/// Frames of a clip.
pub fn frames(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(frames @ 1..=1000) => Ok(frames),
        _ => Err("write a number of frames from 1 to 1000".to_string()),
    }
}

/// The length of a window.
pub fn window(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        window if window < Duration::from_millis(100) => Err("write 100ms or more".to_string()),
        window => Ok(window),
    }
}

/// Dots per inch.
pub fn dpi(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(dpi) if (10.0..=2400.0).contains(&dpi) => Ok(dpi),
        _ => Err("write a number of dots per inch from 10 to 2400".to_string()),
    }
}

/// A whole number.
pub fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "write a whole number".to_string())
}

/// A network, or one address: `10.1.0.0/16`, `127.0.0.1`, `fd00::/8`.
pub fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("'{text}' is no network; write 10.1.0.0/16, 127.0.0.1 or fd00::/8"))
}

/// Pixels: a whole number above zero that the processor can hold.
pub fn pixels(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(0) | Err(_) => Err(format!("write a number of pixels from 1 to {}", u32::MAX)),
        Ok(number) => Ok(number),
    }
}

/// `auto`, `cpu`, `cuda`, `cuda:1`.
pub fn device(text: &str) -> Result<DeviceChoice, String> {
    text.parse().map_err(message)
}

/// `f32`, `f16`, `bf16`.
pub fn dtype(text: &str) -> Result<DtypeChoice, String> {
    text.parse().map_err(message)
}

/// `isolated`, `in-process`.
pub fn decoder(text: &str) -> Result<DecoderChoice, String> {
    match text {
        "isolated" => Ok(DecoderChoice::Isolated),
        "in-process" => Ok(DecoderChoice::InProcess),
        _ => Err("write isolated or in-process".to_string()),
    }
}

/// `max` or `centroid`.
pub fn merge(text: &str) -> Result<Merge, String> {
    match text {
        "max" => Ok(Merge::Max),
        "centroid" => Ok(Merge::Centroid),
        _ => Err("write max or centroid".to_string()),
    }
}

/// What is wrong with a value, without the option's name, which whoever reads it says already.
fn message(error: ModelError) -> String {
    match error {
        ModelError::Option { message, .. } => message,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_carry_their_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["30", "s", "", "-1s", "1h", "1.2.3s"] {
            assert!(duration(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn sizes_may_carry_a_unit() {
        assert_eq!(bytes("100"), Ok(100));
        assert_eq!(bytes("64MiB"), Ok(64 << 20));
        for wrong in [
            "",
            "MiB",
            "64MB",
            "1.5GiB",
            "99999999999999999999",
            "99999999999999999GiB",
        ] {
            assert!(bytes(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn frames_windows_and_dots_have_their_ranges() {
        assert_eq!(
            (frames("8"), window("30s"), dpi("300")),
            (Ok(8), Ok(Duration::from_secs(30)), Ok(300.0))
        );
        assert!(frames("0").is_err() && frames("1001").is_err() && frames("eight").is_err());
        assert!(window("0s").is_err() && window("30").is_err());
        assert!(dpi("0").is_err() && dpi("NaN").is_err() && dpi("inf").is_err());
        assert_eq!(file_bytes("8GiB"), Ok(8 << 30));
        assert!(file_bytes("0").is_err());
    }

    #[test]
    fn networks_are_cidr_or_one_address() {
        assert_eq!(network("127.0.0.1"), network("127.0.0.1/32"));
        assert_eq!(network(" fd00::/8 ").map(|net| net.prefix_len()), Ok(8));
        for wrong in ["", "localhost", "10.0.0.0/33", "10.0.0/8"] {
            assert!(network(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_device_that_is_none_is_answered_with_those_there_are() {
        assert_eq!(device("cuda:3"), Ok(DeviceChoice::Cuda(3)));
        assert!(device("gpu").is_err_and(|error| error.contains("auto, cpu, cuda")));
        assert!(dtype("int8").is_err_and(|error| error.contains("f32, f16")));
    }
}
