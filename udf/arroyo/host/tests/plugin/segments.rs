//! `segments`, and rows in order.

use sightstream_arroyo_host::protocol::{Command, Row};

use crate::engine;
use crate::pipeline::{EMBED, PATIENCE, SEGMENTS, answered_by_one, examples, finished, load, row, worker};

#[test]
fn segments_gives_the_lines_that_the_engine_gives_and_null_where_it_fails() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sample = |name: &str| Some(examples().join(name).display().to_string());
    let urls = [
        sample("media/seven_places.mp4"),
        sample("media/harbour_report.pdf"),
        sample("media/jumping_ball.webm"),
        sample("media/boat.jpg"),
        Some("data:,red%20bicycle".to_string()),
        None,
        Some(folder.path().join("missing.pdf").display().to_string()),
        Some("ftp://host/film.mp4".to_string()),
    ];
    let row = |(id, url): (u64, Option<String>)| Row {
        id,
        arguments: vec![url],
    };
    let rows: Vec<Row> = (0..).zip(urls).map(row).collect();
    let mut worker = worker(folder.path(), &[]);
    load(&mut worker, &SEGMENTS);
    let given = answered_by_one(&mut worker, &SEGMENTS, &rows);
    finished(worker);
    let engine = engine::values(folder.path(), &rows, "segments(url)", "TEXT");
    for (row, answer) in rows.iter().zip(&given) {
        let text = answer
            .value()
            .map(|bytes| String::from_utf8(bytes).expect("TEXT is UTF-8"));
        assert_eq!(
            text.as_deref(),
            engine.get(&row.id).and_then(|value| value.as_str()),
            "{row:?}"
        );
    }
    let lines = |n: usize| given[n].value().map(|text| text.split(|byte| *byte == b'\n').count());
    assert_eq!(
        (lines(0), lines(1), lines(3), lines(6)),
        (Some(7), Some(5), Some(1), None)
    );
}

#[test]
fn ordered_calls_keep_their_order_though_a_film_takes_longer_than_a_text() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut worker = worker(folder.path(), &[]);
    load(&mut worker, &EMBED);
    let (handle, udf) = ("ordered".to_string(), "embed".to_string());
    let start = Command::Start {
        handle,
        udf,
        ordered: true,
        timeout: EMBED.file.options.timeout,
        allowed_in_flight: 32,
    };
    worker.tell(&start).expect("it starts");
    let film = examples().join("media/seven_places.mp4").display().to_string();
    let rows = (0..200).map(|id| match id % 50 {
        0 => row(id, film.clone(), None),
        25 => row(id, "missing.jpg", None),
        _ => row(id, format!("data:,row%20{id}"), None),
    });
    let answers = worker.call(vec![("ordered".to_string(), rows.collect())], PATIENCE);
    let (_, given) = answers.expect("all are answered").by_handle.remove(0);
    let ids: Vec<u64> = given.answers.iter().map(|answer| answer.id).collect();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
    let nulls = given.answers.iter().filter(|answer| answer.value().is_none());
    assert!(nulls.map(|answer| answer.id).eq([25, 75, 125, 175]));
    worker.end("ordered").expect("it stops");
    finished(worker);
}
