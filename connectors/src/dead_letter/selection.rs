//! Which dead letters are meant.

use std::str::FromStr;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};

use super::{DeadLetter, Stage};

/// A choice among dead letters. What is empty chooses all.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Their codes.
    pub codes: Vec<String>,
    /// Their stages.
    pub stages: Vec<Stage>,
    /// The table that refused the row, or that the record was read from.
    pub tables: Vec<String>,
    /// From this moment on.
    pub since: Option<Moment>,
    /// Up to this moment, which is not among them.
    pub until: Option<Moment>,
}

impl Selection {
    /// Whether `letter` is meant.
    pub fn matches(&self, letter: &DeadLetter) -> bool {
        let source = letter.record.as_ref().map(|record| &record.origin.table);
        let of_table = |table: &String| *table == letter.table || Some(table) == source;
        (self.codes.is_empty() || self.codes.contains(&letter.code))
            && (self.stages.is_empty() || self.stages.contains(&letter.stage))
            && (self.tables.is_empty() || self.tables.iter().any(of_table))
            && self.since.is_none_or(|since| letter.at >= since.0)
            && self.until.is_none_or(|until| letter.at < until.0)
    }
}

/// A moment, written in RFC 3339, as a date (its first moment in UTC), or as a time before now: `90m`, `24h`, `7d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub DateTime<Utc>);

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self(moment.to_utc()));
        }
        if let Ok(date) = text.parse::<NaiveDate>() {
            return Ok(Self(date.and_time(chrono::NaiveTime::MIN).and_utc()));
        }
        before_now(text)
            .map(Self)
            .ok_or_else(|| "write 2025-01-31T12:00:00Z, 2025-01-31, or a time before now as 90m, 24h or 7d".to_string())
    }
}

fn before_now(text: &str) -> Option<DateTime<Utc>> {
    let unit = text.chars().last()?;
    let count: u32 = text.strip_suffix(unit)?.parse().ok()?;
    let now = Utc::now();
    match unit {
        's' => now.checked_sub_signed(TimeDelta::try_seconds(count.into())?),
        'm' => now.checked_sub_signed(TimeDelta::try_minutes(count.into())?),
        'h' => now.checked_sub_signed(TimeDelta::try_hours(count.into())?),
        'd' => now.checked_sub_days(Days::new(count.into())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_a_date_or_a_time_before_now() {
        let moment = |text: &str| text.parse::<Moment>().map(|moment| moment.0);
        let noon = "2025-01-31T12:00:00+01:00";
        assert_eq!(
            moment(noon).map(|noon| noon.to_rfc3339()),
            Ok("2025-01-31T11:00:00+00:00".into())
        );
        assert_eq!(moment("2025-01-31"), moment("2025-01-31T00:00:00Z"));
        let ago = |text: &str| moment(text).map(|moment| (Utc::now() - moment).num_minutes());
        assert_eq!((ago("90m"), ago("2h"), ago("7d")), (Ok(90), Ok(120), Ok(7 * 24 * 60)));
        for wrong in ["", "m", "yesterday", "1.5h", "-3h", "7", "4294967295d", "ä"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_condition_must_hold() {
        let letter = DeadLetter::new(None, "vectors", Stage::Embed, "not_found", "no such file");
        let all = Selection::default();
        assert!(all.matches(&letter));
        let code = |codes: &[&str]| Selection {
            codes: codes.iter().map(|code| code.to_string()).collect(),
            ..Selection::default()
        };
        assert!(code(&["timeout", "not_found"]).matches(&letter));
        assert!(!code(&["timeout"]).matches(&letter));
        let selection = Selection {
            stages: vec![Stage::Embed],
            tables: vec!["vectors".into()],
            since: Some(Moment(letter.at)),
            ..code(&["not_found"])
        };
        assert!(selection.matches(&letter));
        assert!(
            !Selection {
                stages: vec![Stage::Read],
                ..selection.clone()
            }
            .matches(&letter)
        );
        assert!(
            !Selection {
                tables: vec!["other".into()],
                ..selection.clone()
            }
            .matches(&letter)
        );
        assert!(
            !Selection {
                until: Some(Moment(letter.at)),
                ..selection
            }
            .matches(&letter)
        );
    }
}
