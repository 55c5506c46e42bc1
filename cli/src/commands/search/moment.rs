//! Parts of media as people read them: `video.mp4 12:30-13:00`, `report.pdf page 3`.

use std::fmt;

use serde_json::{Map, Value};
use sightstream_connectors::qdrant::Hit;
use sightstream_model::reference::{Fragment, split_part};

use super::shown;

/// What a hit is: a part of a medium, or a whole one.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// The reference of the whole.
    pub whole: String,
    /// Which part of it.
    pub part: Option<Fragment>,
}

impl Moment {
    /// What a reference names.
    pub fn at(url: &str) -> Self {
        let (whole, part) = match split_part(url) {
            (whole, Some(part)) => (whole, Some(part)),
            (_, None) => (url, None),
        };
        Self {
            whole: whole.to_string(),
            part,
        }
    }

    /// The moment of a hit whose payload names it by its `url`, or by the whole's (`parent`, or `url`) beside `start` and
    /// `end` or `page`; none where there is no url.
    pub fn of(hit: &Hit) -> Option<Self> {
        let text = |field: &str| hit.payload.get(field).and_then(Value::as_str);
        let url = text("url").or_else(|| text("parent"))?;
        let named = Self::at(url);
        Some(match named.part {
            Some(_) => named,
            None => Self {
                whole: text("parent").unwrap_or(url).to_string(),
                part: part_of_fields(&hit.payload),
            },
        })
    }

    /// Its fields, as `index_moments.sql` names them.
    pub fn fields(&self) -> Map<String, Value> {
        let (start, end, page) = match self.part {
            Some(Fragment::Time { start, end }) => (Some(start), end, None),
            Some(Fragment::Page(page)) => (None, None, Some(page)),
            None => (None, None, None),
        };
        let fields = [
            ("parent", Value::from(self.whole.as_str())),
            ("start", start.into()),
            ("end", end.into()),
            ("page", page.into()),
        ];
        fields
            .map(|(name, value)| (name.to_string(), value))
            .into_iter()
            .collect()
    }
}

fn part_of_fields(payload: &Map<String, Value>) -> Option<Fragment> {
    let number = |field: &str| payload.get(field).and_then(Value::as_f64);
    match (number("start"), payload.get("page").and_then(Value::as_u64)) {
        (Some(start), _) => Some(Fragment::Time {
            start,
            end: number("end"),
        }),
        (None, page) => page.and_then(|page| u32::try_from(page).ok()).map(Fragment::Page),
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&shown(&self.whole))?;
        match self.part {
            Some(Fragment::Time { start, end }) => {
                write!(f, " {}-", Clock(start))?;
                end.map_or(Ok(()), |end| write!(f, "{}", Clock(end)))
            }
            Some(Fragment::Page(page)) => write!(f, " page {page}"),
            None => Ok(()),
        }
    }
}

/// Seconds as a player shows them: `0:30`, `12:30`, `1:02:30`, and `59:44.2` where they are no whole ones.
struct Clock(f64);

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        // A cast saturates, and takes what is no number for 0.
        let milliseconds = (self.0 * 1000.0).round() as u64;
        let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        match hours {
            0 => write!(f, "{minutes}:{seconds:02}")?,
            _ => write!(f, "{hours}:{minutes:02}:{seconds:02}")?,
        }
        match format!("{rest:03}").trim_end_matches('0') {
            "" => Ok(()),
            decimals => write!(f, ".{decimals}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn moment(payload: Value) -> Option<Moment> {
        let Value::Object(payload) = payload else {
            panic!("a payload is an object: {payload}")
        };
        Moment::of(&Hit {
            id: "7".to_string(),
            score: 0.5,
            payload,
        })
    }

    fn text(payload: Value) -> String {
        moment(payload).expect("it has a url").to_string()
    }

    #[test]
    fn a_moment_is_read_from_the_url_or_from_the_fields() {
        assert_eq!(
            text(json!({"url": "video.mp4#t=750,780", "start": 1.0})),
            "video.mp4 12:30-13:00"
        );
        assert_eq!(
            text(json!({"url": "video.mp4", "start": 750, "end": 780.0})),
            "video.mp4 12:30-13:00"
        );
        assert_eq!(
            text(json!({"parent": "video.mp4", "start": 3750.0, "end": 3780.0})),
            "video.mp4 1:02:30-1:03:00"
        );
        assert_eq!(text(json!({"url": "video.mp4#t=30"})), "video.mp4 0:30-");
        assert_eq!(text(json!({"url": "take #2.pdf#page=3"})), "take #2.pdf page 3");
        assert_eq!(
            text(json!({"url": "x", "parent": "report.pdf", "page": 3})),
            "report.pdf page 3"
        );
        assert_eq!(text(json!({"url": "a.png", "start": null, "page": null})), "a.png");
        assert_eq!(text(json!({"url": "a.png", "start": "noon", "page": -1})), "a.png");
        assert_eq!(moment(json!({"start": 1.0})), None);
    }

    #[test]
    fn clocks_show_hours_and_decimals_where_there_are_some() {
        let times = [0.0, 7184.2, 59.9996, 3599.5, 3600.0, 36_000.125];
        let clocks = times.map(|time| Clock(time).to_string());
        assert_eq!(
            clocks,
            ["0:00", "1:59:44.2", "1:00", "59:59.5", "1:00:00", "10:00:00.125"]
        );
    }

    #[test]
    fn the_fields_are_those_of_the_pipeline() {
        let fields = |url: &str| Value::Object(moment(json!({"url": url})).expect("it has a url").fields());
        assert_eq!(
            fields("v.mp4#t=1.5,3"),
            json!({"parent": "v.mp4", "start": 1.5, "end": 3.0, "page": null})
        );
        assert_eq!(
            fields("d.pdf#page=3"),
            json!({"parent": "d.pdf", "start": null, "end": null, "page": 3})
        );
    }

    #[test]
    fn a_long_name_does_not_hide_the_moment() {
        let shown = text(json!({"url": format!("{}#t=0,30", "x".repeat(1000))}));
        assert!(shown.ends_with("x… 0:00-0:30"), "{shown}");
    }
}
