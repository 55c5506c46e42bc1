//! Evaluations as a table and as CSV, one alone or two of the same task side by side.

use std::fmt;
use std::io::Write;

use super::metrics::{Measure, Metric, REPORTED, Scores};
use super::rank::{Evaluation, Unreadable};
use super::task::Task;

/// Whether the table shows what [`REPORTED`] has; the CSV has all of it.
fn is_shown(measure: Measure) -> bool {
    match (measure.metric, measure.k) {
        (Metric::Hit | Metric::Recall, _) | (Metric::Mrr | Metric::Map, None) => true,
        (Metric::Ndcg, k) => k != Some(1),
        _ => false,
    }
}

/// An evaluation, and perhaps one of the same task by another model. As text it is a table.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<'a> {
    /// The other model's, which was there first.
    pub before: Option<&'a Evaluation>,
    /// The one that counts.
    pub after: &'a Evaluation,
}

/// The scores of one way to rank.
struct Ranking<'a> {
    name: &'static str,
    before: Option<&'a Scores>,
    after: &'a Scores,
}

impl<'a> Comparison<'a> {
    fn rankings(&self) -> Vec<Ranking<'a>> {
        let global = Ranking {
            name: "global",
            before: self.before.map(|before| &before.global),
            after: &self.after.global,
        };
        let local = self.after.local.as_ref().map(|after| Ranking {
            name: "local",
            before: self.before.and_then(|before| before.local.as_ref()),
            after,
        });
        [global].into_iter().chain(local).collect()
    }

    /// A line for each measure of each ranking: `ranking`, `measure`, `value`; with another model `before`, `after` and `change` in
    /// place of the value. Numbers are not rounded.
    ///
    /// # Errors
    /// What writing to `to` gives.
    pub fn write_csv(&self, to: impl Write) -> Result<(), csv::Error> {
        let mut csv = csv::Writer::from_writer(to);
        match self.before {
            Some(_) => csv.write_record(["ranking", "measure", "before", "after", "change"])?,
            None => csv.write_record(["ranking", "measure", "value"])?,
        }
        for Ranking { name, before, after } in self.rankings() {
            let values = REPORTED.map(|measure| {
                let value = |scores: &Scores| scores.get(measure).unwrap_or_default();
                (measure.to_string(), before.map(value), value(after))
            });
            let counts = [("queries", after.queries), ("answered", after.answered)].map(|(count, value)| {
                let before = before.map(|before| match count {
                    "queries" => before.queries,
                    _ => before.answered,
                });
                (count.to_string(), before.map(|before| before as f64), value as f64)
            });
            for (measure, before, after) in counts.into_iter().chain(values) {
                let numbers = match before {
                    Some(before) => vec![before, after, after - before],
                    None => vec![after],
                };
                let numbers = numbers.iter().map(f64::to_string);
                csv.write_record([name.to_string(), measure].into_iter().chain(numbers))?;
            }
        }
        csv.flush()?;
        Ok(())
    }
}

impl fmt::Display for Comparison<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rankings = self.rankings();
        let columns: &[&str] = match self.before {
            Some(_) => &["before", "after", "change"],
            None => &["value"],
        };
        let width = columns.len() * 9;
        write!(f, "{:<10}", "")?;
        for ranking in &rankings {
            let head = match ranking.name {
                "global" => format!("of {}", self.after.candidates),
                _ => "of its own".to_string(),
            };
            write!(f, "  {head:>width$}")?;
        }
        writeln!(f)?;
        if self.before.is_some() {
            write!(f, "{:<10}", "")?;
            for _ in &rankings {
                write!(f, "  ")?;
                for column in columns {
                    write!(f, "{column:>9}")?;
                }
            }
            writeln!(f)?;
        }
        write!(f, "{:<10}", "queries")?;
        for ranking in &rankings {
            write!(f, "  {:>width$}", ranking.after.queries)?;
        }
        writeln!(f)?;
        for measure in REPORTED.into_iter().filter(|&measure| is_shown(measure)) {
            write!(f, "{:<10}", measure.to_string())?;
            for Ranking { before, after, .. } in &rankings {
                let after = after.get(measure).unwrap_or_default();
                write!(f, "  ")?;
                if let Some(before) = before {
                    let before = before.get(measure).unwrap_or_default();
                    write!(f, "{before:>9.4}{after:>9.4}{:>+9.4}", after - before)?;
                } else {
                    write!(f, "{after:>width$.4}")?;
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A sentence for items that could not be read: how many, and the first few by `name`. `None` if there are none.
pub fn unreadable<T>(task: &Task<T>, items: &[Unreadable], name: impl Fn(&T) -> String) -> Option<String> {
    const NAMED: usize = 5;
    if items.is_empty() {
        return None;
    }
    let named: Vec<String> = items
        .iter()
        .take(NAMED)
        .map(|unreadable| {
            let name = name(&task.items()[unreadable.item]);
            // Errors of media begin with the name already.
            match unreadable.reason.starts_with(&name) {
                true => unreadable.reason.clone(),
                false => format!("{name}: {}", unreadable.reason),
            }
        })
        .collect();
    let more = match items.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!("; and {more} more"),
    };
    let count = items.len();
    Some(format!(
        "{count} of {} items cannot be read, and no query finds them: {}{more}",
        task.items().len(),
        named.join("; ")
    ))
}

/// A line for each query: `query`, `place` of its best positive (empty if it has none), `positive` with its `cosine`, and what stands
/// at the first place with its own.
///
/// # Errors
/// What writing to `to` gives.
pub fn write_details<T>(
    task: &Task<T>,
    evaluation: &Evaluation,
    name: impl Fn(&T) -> String,
    to: impl Write,
) -> Result<(), csv::Error> {
    let mut csv = csv::Writer::from_writer(to);
    csv.write_record(["query", "place", "positive", "cosine", "first", "first_cosine"])?;
    let scored = |scored: Option<(usize, f32)>| match scored {
        Some((item, cosine)) => [name(&task.items()[item]), cosine.to_string()],
        None => Default::default(),
    };
    for detail in &evaluation.details {
        let place = detail.place.map(|place| place.to_string());
        let query = [name(&task.items()[detail.query]), place.unwrap_or_default()];
        csv.write_record(
            query
                .into_iter()
                .chain(scored(detail.positive))
                .chain(scored(detail.first)),
        )?;
    }
    csv.flush()?;
    Ok(())
}
