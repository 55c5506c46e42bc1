//! Fragments: `#t=30,60` and `#page=3`.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::redact::shortened;

/// Which part of a medium is meant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fragment {
    /// A span of time, in seconds from the start.
    Time {
        /// Where it begins.
        start: f64,
        /// Where it ends; `None` is the medium's end.
        end: Option<f64>,
    },
    /// One page, counted from 1.
    Page(u32),
}

/// As it stands behind the `#` of a reference: `t=30,60`, `t=30`, `page=3`. It reads back as the same to the bit: the
/// shortest decimals that do, and never an exponent.
impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time { start, end: None } => write!(f, "t={start}"),
            Self::Time { start, end: Some(end) } => write!(f, "t={start},{end}"),
            Self::Page(page) => write!(f, "page={page}"),
        }
    }
}

/// Cuts a `#t=…` or `#page=…` off. Another `#…` stays.
pub(super) fn split_fragment(reference: &str) -> Result<(&str, Option<Fragment>), String> {
    let Some((address, fragment)) = reference.rsplit_once('#') else {
        return Ok((reference, None));
    };
    // A query that somebody has put behind the fragment may hold a signature.
    let shown = || shortened(fragment.split(['?', '&']).next().unwrap_or_default());
    let parsed = match fragment.split_once('=') {
        Some(("t", time)) => Some(parse_time(time).ok_or_else(|| {
            format!(
                "`#{}` is not a span of time; write seconds, as in #t=30,60 or #t=30",
                shown()
            )
        })?),
        Some(("page", page)) => Some(match page.parse() {
            Ok(page) if page > 0 => Fragment::Page(page),
            _ => {
                return Err(format!(
                    "`#{}` is not a page; pages count from 1, as in #page=3",
                    shown()
                ));
            }
        }),
        _ => None,
    };
    Ok(if parsed.is_some() {
        (address, parsed)
    } else {
        (reference, None)
    })
}

/// `start[,end]` or `,end` in normal play time, with the optional prefix `npt:`.
fn parse_time(time: &str) -> Option<Fragment> {
    let time = time.strip_prefix("npt:").unwrap_or(time);
    let (start, end) = match time.split_once(',') {
        Some((start, end)) => (start, Some(parse_clock(end)?)),
        None => (time, None),
    };
    let start = match start {
        "" if end.is_some() => 0.0,
        start => parse_clock(start)?,
    };
    let ordered = end.is_none_or(|end| end > start);
    ordered.then_some(Fragment::Time { start, end })
}

/// Seconds, `mm:ss` or `hh:mm:ss`, the last with decimals.
fn parse_clock(clock: &str) -> Option<f64> {
    let parts: Vec<&str> = clock.split(':').collect();
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if parts.len() > 3 || !parts.iter().all(|part| digits(part)) {
        return None;
    }
    let seconds = parts
        .iter()
        .try_fold(0.0, |total, part| Some(total * 60.0 + part.parse::<f64>().ok()?))?;
    seconds.is_finite().then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{Location, MediaReference};

    fn parse(reference: &str) -> MediaReference {
        MediaReference::parse(reference).expect(reference)
    }

    #[test]
    fn fragments_name_spans_of_time_and_pages() {
        let time = |start, end| Some(Fragment::Time { start, end });
        assert_eq!(parse("a.mp4#t=30,60").fragment, time(30.0, Some(60.0)));
        assert_eq!(parse("a.mp4#t=1.5").fragment, time(1.5, None));
        assert_eq!(parse("a.mp4#t=,20").fragment, time(0.0, Some(20.0)));
        assert_eq!(
            parse("https://h/a.mp4#t=npt:1:02,1:00:00").fragment,
            time(62.0, Some(3600.0))
        );
        let page = parse("take#2/report.pdf#page=3");
        assert_eq!(page.fragment, Some(Fragment::Page(3)));
        assert_eq!(page.location, Location::File("take#2/report.pdf".into()));
        assert_eq!(parse("https://h/a.html#top").fragment, None);
        for bad in [
            "a.mp4#t=60,30",
            "a.mp4#t=x",
            "a.mp4#t=",
            "a.mp4#t=-1",
            "a.pdf#page=0",
            "a.pdf#page=",
            "a#t=1e3",
        ] {
            assert!(
                MediaReference::parse(bad).expect_err(bad).to_string().contains('#'),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_fragment_reads_back_as_it_was_written() {
        let time = |start, end| Fragment::Time { start, end };
        for (fragment, text) in [
            (time(0.0, Some(30.0)), "t=0,30"),
            (time(7170.0, Some(7184.2)), "t=7170,7184.2"),
            (time(1.5, None), "t=1.5"),
            (
                time(0.1 + 0.2, Some(1e21)),
                "t=0.30000000000000004,1000000000000000000000",
            ),
            (time(1e-7, Some(f64::MAX)), ""),
            (Fragment::Page(3), "page=3"),
            (Fragment::Page(u32::MAX), "page=4294967295"),
        ] {
            let shown = fragment.to_string();
            assert!(text.is_empty() || shown == text, "{shown}");
            assert_eq!(parse(&format!("a#{shown}")).fragment, Some(fragment), "{shown}");
        }
    }

    #[test]
    fn a_fragment_of_any_length_is_refused_in_a_short_message() {
        for start in ["a.mp4#t=", "a.pdf#page=", "https://h/a.mp4#t="] {
            let error = MediaReference::parse(&(start.to_owned() + &"x".repeat(10_000))).expect_err(start);
            assert!(error.to_string().chars().count() < 300, "{error}");
        }
    }

    #[test]
    fn a_query_behind_the_fragment_is_not_shown() {
        for reference in ["https://h/a.mp4#t=3?id=5&sig=abc", "https://h/a.pdf#page=&token=abc"] {
            let error = MediaReference::parse(reference).expect_err(reference).to_string();
            assert!(!error.contains("abc") && error.contains('#'), "{error}");
        }
    }
}
