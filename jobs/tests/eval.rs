//! Evaluation: the numbers are VLM2Vec's (jobs/reference/ranking_metrics.py), and what is ranked is what a file of pairs asks.

use std::collections::BTreeMap;

use serde::Deserialize;
use sightstream_jobs::JobError;
use sightstream_jobs::eval::metrics::REPORTED;
use sightstream_jobs::eval::report::{unreadable, write_details};
use sightstream_jobs::eval::{Comparison, Evaluation, Judged, Measure, Metric, Row, Scores, Task};

#[derive(Deserialize)]
struct Reference {
    cutoffs: Vec<usize>,
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    cases: Vec<Case>,
    /// By metric and cutoff: `ndcg@5`.
    expected: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Case {
    ranking: Vec<u32>,
    relevant: Vec<u32>,
}

const METRICS: [Metric; 7] = [
    Metric::Hit,
    Metric::Precision,
    Metric::Recall,
    Metric::F1,
    Metric::Ndcg,
    Metric::Map,
    Metric::Mrr,
];

#[test]
fn every_number_is_that_of_vlm2vecs_ranking_metrics() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ranking_metrics.json");
    let reference = std::fs::read(path).expect("the fixture is there");
    let reference: Reference = serde_json::from_slice(&reference).expect("JSON");
    let longest = *reference.cutoffs.last().expect("some");
    for Group { name, cases, expected } in reference.groups {
        let judged: Vec<Judged> = cases
            .iter()
            .map(|case| Judged::of(&case.ranking, &case.relevant))
            .collect();
        let mean = |measure| judged.iter().map(|one| one.value(measure)).sum::<f64>() / judged.len() as f64;
        let mut compared = 0;
        for metric in METRICS {
            for &k in &reference.cutoffs {
                let measure = Measure::at(metric, k);
                let theirs = expected[&measure.to_string()];
                assert!(
                    (mean(measure) - theirs).abs() < 1e-12,
                    "{name}: {measure}: {} {theirs}",
                    mean(measure)
                );
                compared += 1;
            }
        }
        assert_eq!(compared, expected.len(), "{name}");
        // Over whole rankings it is as at a cutoff behind their end, for metrics that have such.
        for metric in [Metric::Mrr, Metric::Map, Metric::Ndcg, Metric::Recall, Metric::Hit] {
            let theirs = expected[&Measure::at(metric, longest).to_string()];
            assert!(
                (mean(Measure::whole(metric)) - theirs).abs() < 1e-12,
                "{name}: {metric:?}"
            );
        }
        let scores = Scores::mean(&judged);
        for measure in REPORTED.into_iter().filter(|measure| measure.k.is_some()) {
            let theirs = expected[&measure.to_string()];
            assert!(
                (scores.get(measure).expect("reported") - theirs).abs() < 1e-12,
                "{name}: {measure}"
            );
        }
    }
}

fn row(query: &str, positives: &[&str], negatives: &[&str], candidates: &[&str]) -> Row<String> {
    let own = |items: &[&str]| items.iter().map(ToString::to_string).collect();
    Row {
        query: query.to_string(),
        positives: own(positives),
        negatives: own(negatives),
        candidates: own(candidates),
    }
}

/// `angle` in degrees on a circle: the nearer two are, the larger their cosine.
fn at(angle: f32) -> Result<Vec<f32>, String> {
    let angle = angle.to_radians();
    Ok(vec![angle.cos(), angle.sin()])
}

/// Ranks with one vector for each item, by its name.
fn rank(task: &Task<String>, vector: impl Fn(&str) -> Result<Vec<f32>, String>) -> Evaluation {
    let vectors = task.items().iter().map(|item| vector(item)).collect();
    task.rank(vectors).expect("vectors of one length")
}

fn places(evaluation: &Evaluation) -> Vec<Option<usize>> {
    evaluation.details.iter().map(|detail| detail.place).collect()
}

const HIT_1: Measure = Measure::at(Metric::Hit, 1);

#[test]
fn a_query_looks_among_all_and_among_its_own() {
    let rows = [
        row("a", &["a near"], &["a far"], &[]),
        row("b", &["b near"], &["a near"], &["b far"]),
        // It has nothing of its own but its positive.
        row("c", &["c near"], &[], &[]),
    ];
    let task = Task::new(rows, ["elsewhere".to_string()]);
    assert_eq!(
        (task.items().len(), task.questions().len(), task.corpus().len()),
        (9, 3, 6)
    );
    let evaluation = rank(&task, |item| match item {
        "a" => at(0.0),
        "a near" => at(10.0),
        "a far" => at(90.0),
        "b" => at(20.0),
        // Farther than `a near`, which is no candidate of its own.
        "b near" => at(35.0),
        "b far" => at(80.0),
        "c" => at(180.0),
        "c near" => at(120.0),
        "elsewhere" => at(181.0),
        other => panic!("{other}"),
    });
    assert_eq!(evaluation.candidates, 6);
    assert_eq!(places(&evaluation), [Some(1), Some(2), Some(2)]);
    assert_eq!((evaluation.global.queries, evaluation.global.answered), (3, 3));
    assert!((evaluation.global.get(HIT_1).expect("reported") - 1.0 / 3.0).abs() < 1e-12);
    let local = evaluation.local.expect("two queries have others");
    assert_eq!((local.queries, local.get(HIT_1)), (2, Some(1.0)));
}

#[test]
fn rows_with_one_query_are_one_question() {
    let task = Task::new(
        [row("q", &["a"], &["x"], &[]), row("q", &["b", "a"], &["a", "y"], &[])],
        Vec::new(),
    );
    assert_eq!(task.questions().len(), 1);
    let name = |items: &[usize]| items.iter().map(|&item| task.items()[item].clone()).collect::<Vec<_>>();
    let question = &task.questions()[0];
    assert_eq!(name(&question.positives), ["a", "b"]);
    // What is a positive of one row is no candidate against it by another.
    assert_eq!(name(&question.others), ["x", "y"]);
    let evaluation = rank(&task, |item| match item {
        "q" => at(0.0),
        "x" => at(5.0),
        "a" => at(10.0),
        "y" => at(15.0),
        "b" => at(20.0),
        other => panic!("{other}"),
    });
    let global = &evaluation.global;
    assert_eq!(global.get(Measure::whole(Metric::Mrr)), Some(0.5));
    assert_eq!(global.get(Measure::whole(Metric::Map)), Some((0.5 + 0.5) / 2.0));
    assert_eq!(global.get(Measure::at(Metric::Recall, 1)), Some(0.0));
    assert_eq!(global.get(Measure::at(Metric::Recall, 5)), Some(1.0));
}

#[test]
fn of_equal_scores_the_wrong_come_first() {
    // The same vector for everything, of a length at which sums are rounded, and more candidates than are scored at once.
    let names: Vec<String> = (0..40).map(|number| format!("t{number}")).collect();
    let rows = names
        .iter()
        .map(|name| row(&format!("q {name}"), &[name], &["t0", "t1"], &[]));
    let task = Task::new(rows.collect::<Vec<_>>(), Vec::new());
    let same: Vec<f32> = (0..83).map(|number| (number as f32 * 0.7).sin()).collect();
    let evaluation = rank(&task, |_| Ok(same.clone()));
    assert_eq!(places(&evaluation), vec![Some(40); 40]);
    assert_eq!(evaluation.global.get(HIT_1), Some(0.0));
    let local = evaluation.local.as_ref().expect("all have negatives");
    assert_eq!(local.get(HIT_1), Some(0.0));
    // And so whenever it is done again.
    assert_eq!(rank(&task, |_| Ok(same.clone())), evaluation);
}

#[test]
fn what_cannot_be_read_is_named_and_found_by_nobody() {
    let rows = [
        row("a", &["gone.png"], &["x"], &[]),
        row("gone too", &["y"], &["x"], &[]),
        row("b", &["y", "gone.png"], &["x", "not numbers"], &[]),
    ];
    let task = Task::new(rows, Vec::new());
    let evaluation = rank(&task, |item| match item {
        "a" | "b" | "y" => at(0.0),
        "x" => at(50.0),
        "not numbers" => Ok(vec![f32::NAN, 1.0]),
        gone => Err(format!("{gone}: no such file")),
    });
    assert_eq!(evaluation.candidates, 2);
    assert_eq!(places(&evaluation), [None, None, Some(1)]);
    assert_eq!((evaluation.global.queries, evaluation.global.answered), (3, 1));
    assert_eq!(evaluation.global.get(Measure::whole(Metric::Mrr)), Some(1.0 / 3.0));
    // Half of what `b` should find can be found.
    assert_eq!(evaluation.global.get(Measure::at(Metric::Recall, 10)), Some(0.5 / 3.0));
    let said = unreadable(&task, &evaluation.unreadable, Clone::clone).expect("three items");
    assert!(said.starts_with("3 of 7 items cannot be read"), "{said}");
    for part in [
        "gone.png: no such file;",
        "gone too: no such file",
        "not numbers: its vector is not of numbers",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert!(!said.contains("gone.png: gone.png"), "{said}");
    let whole = rank(&task, |_| at(0.0));
    assert_eq!(unreadable(&task, &whole.unreadable, Clone::clone), None);
}

#[test]
fn vectors_that_do_not_go_with_the_task_are_refused() {
    let task = Task::new([row("a", &["b"], &[], &[])], Vec::new());
    let error = task.rank(vec![at(0.0)]).expect_err("one is missing");
    assert!(matches!(error, JobError::Config(_)), "{error}");
    let error = task.rank(vec![at(0.0), Ok(vec![1.0; 3])]).expect_err("other lengths");
    assert!(error.to_string().contains("2 and of 3 numbers"), "{error}");
}

/// A right answer at the first place for two of three queries, or for all.
fn before_and_after() -> (Task<String>, Evaluation, Evaluation) {
    let rows = [
        row("a", &["a+"], &["a-"], &[]),
        row("b", &["b+"], &["b-"], &[]),
        row("c, with \"marks\"", &["c+"], &["c-"], &[]),
    ];
    let task = Task::new(rows, Vec::new());
    let angle = |item: &str, wrong: &str| {
        let base = match item.as_bytes()[0] {
            b'a' => 0.0,
            b'b' => 120.0,
            _ => 240.0,
        };
        let swapped = item.starts_with(wrong);
        at(base
            + match item.ends_with('+') != swapped {
                _ if !item.ends_with(['+', '-']) => 0.0,
                true => 5.0,
                false => 20.0,
            })
    };
    let before = rank(&task, |item| angle(item, "b"));
    let after = rank(&task, |item| angle(item, "none"));
    (task, before, after)
}

#[test]
fn the_table_shows_both_models_and_what_changed() {
    let (_, before, after) = before_and_after();
    let table = Comparison {
        before: Some(&before),
        after: &after,
    };
    let lines: Vec<String> = table.to_string().lines().map(str::to_string).collect();
    let line = |name: &str| {
        let line = lines.iter().find(|line| line.starts_with(name)).expect(name);
        line.split_whitespace().skip(1).map(str::to_string).collect::<Vec<_>>()
    };
    assert!(
        lines[0].contains("of 6") && lines[0].contains("of its own"),
        "{}",
        lines[0]
    );
    assert_eq!(line("queries"), ["3", "3"]);
    assert_eq!(
        line("hit@1"),
        ["0.6667", "1.0000", "+0.3333", "0.6667", "1.0000", "+0.3333"]
    );
    assert_eq!(
        line("mrr"),
        ["0.8333", "1.0000", "+0.1667", "0.8333", "1.0000", "+0.1667"]
    );
    let widths: Vec<usize> = lines.iter().map(|line| line.chars().count()).collect();
    assert!(
        widths.iter().all(|width| *width == widths[0]),
        "columns stand below each other:\n{table}"
    );

    let alone = Comparison {
        before: None,
        after: &after,
    };
    assert!(
        alone
            .to_string()
            .lines()
            .any(|line| line.split_whitespace().eq(["hit@1", "1.0000", "1.0000"]))
    );
}

#[test]
fn csv_has_every_number_and_every_query() {
    let (task, before, after) = before_and_after();
    let mut written = Vec::new();
    let comparison = Comparison {
        before: Some(&before),
        after: &after,
    };
    comparison.write_csv(&mut written).expect("written");
    let mut csv = csv::Reader::from_reader(written.as_slice());
    assert_eq!(
        csv.headers().expect("a header"),
        ["ranking", "measure", "before", "after", "change"].as_slice()
    );
    let records: Vec<csv::StringRecord> = csv.records().collect::<Result<_, _>>().expect("CSV");
    assert_eq!(records.len(), 2 * (REPORTED.len() + 2));
    let hit = records
        .iter()
        .find(|record| (&record[0], &record[1]) == ("global", "hit@1"))
        .expect("there");
    let number = |place: usize| hit[place].parse::<f64>().expect("a number");
    assert_eq!((number(2), number(3)), (2.0 / 3.0, 1.0));
    assert!((number(4) - 1.0 / 3.0).abs() < 1e-12);

    let mut written = Vec::new();
    write_details(&task, &before, Clone::clone, &mut written).expect("written");
    let mut csv = csv::Reader::from_reader(written.as_slice());
    let records: Vec<csv::StringRecord> = csv.records().collect::<Result<_, _>>().expect("CSV");
    let columns = |record: usize, columns: [usize; 4]| columns.map(|column| records[record][column].to_string());
    assert_eq!(columns(0, [0, 1, 2, 4]), ["a", "1", "a+", "a+"]);
    assert_eq!(columns(1, [0, 1, 2, 4]), ["b", "2", "b+", "b-"]);
    assert_eq!(columns(2, [0, 1, 2, 4]), ["c, with \"marks\"", "1", "c+", "c+"]);
}
