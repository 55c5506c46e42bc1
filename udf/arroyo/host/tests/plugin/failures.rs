//! What goes wrong costs a row its value, and is told.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use sightstream_arroyo_host::protocol::{Command, subtask};

use crate::dead_letters::{Broker, Letter};
use crate::pipeline::{EMBED, answered, begin, comes_true, end, finished, load, row, worker};

#[test]
fn a_row_that_takes_too_long_is_null_before_the_timeout_and_the_others_go_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // Connections are taken, and nothing is ever said on them.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let url = format!("http://{}/film.mp4", silent.local_addr().expect("it is bound"));
    let broker = Broker::start();
    let mut settings = broker.settings().to_vec();
    settings.push(("SIGHTSTREAM_ALLOW_NETWORK", "127.0.0.1".to_string()));
    // Healthy rows have it too: long enough for them on a slow machine, once the model is there.
    settings.push(("SIGHTSTREAM_UDF_DEADLINE", "12s".to_string()));
    settings.push(("SIGHTSTREAM_EAGER_START", "true".to_string()));
    let mut worker = worker(folder.path(), &settings);
    load(&mut worker, &EMBED);
    let is_loaded = || worker.log().contains("the model is loaded, once for this process");
    assert!(comes_true(is_loaded), "{}", worker.log());
    let start = Command::Start {
        handle: subtask(0),
        udf: "embed".to_string(),
        ordered: false,
        timeout: Duration::from_secs(600),
        allowed_in_flight: 8,
    };
    worker.tell(&start).expect("it starts");
    for round in 0..2 {
        let rows: Vec<_> = (0..20)
            .map(|id| match id {
                5 => row(id, url.clone(), None),
                _ => row(id, format!("data:,row%20{id}%20of%20{round}"), None),
            })
            .collect();
        let answers = answered(&mut worker, &rows, 1);
        let nulls = answers.iter().filter(|answer| answer.value().is_none());
        assert!(nulls.map(|answer| answer.id).eq([5]), "{}", worker.log());
    }
    let letters = broker.letters(2);
    let is_told = |letter: &Letter| letter.call["url"] == *url && letter.code == "deadline";
    assert!(letters.len() == 2 && letters.iter().all(is_told), "{letters:?}");
    end(&mut worker, 1);
    let log = finished(worker);
    assert!(log.contains("/film.mp4"), "{log}");
}

#[test]
fn a_wrong_setting_makes_rows_null_at_their_deadline_and_the_log_names_it() {
    let nowhere = "/nowhere/checkpoint";
    let wrong = [
        ("SIGHTSTREAM_MODEL", nowhere, nowhere),
        ("SIGHTSTREAM_MAX_BATCH_TOKENS", "plenty", "SIGHTSTREAM_MAX_BATCH_TOKENS"),
        ("SIGHTSTREAM_ALLOW_NETWORK", "everywhere", "SIGHTSTREAM_ALLOW_NETWORK"),
    ];
    for (name, value, told) in wrong {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // Rows are held for as long, should the operator mend what is wrong.
        let deadline = ("SIGHTSTREAM_UDF_DEADLINE", "1s".to_string());
        let mut worker = worker(folder.path(), &[(name, value.to_string()), deadline]);
        load(&mut worker, &EMBED);
        begin(&mut worker, &EMBED, 2, None);
        for _ in 0..2 {
            let rows: Vec<_> = (0..10).map(|id| row(id, format!("data:,row%20{id}"), None)).collect();
            let answers = answered(&mut worker, &rows, 2);
            assert!(answers.iter().all(|answer| answer.value().is_none()), "{name}={value}");
        }
        end(&mut worker, 2);
        let log = finished(worker);
        assert!(log.contains(told), "{name}={value}: {log}");
        assert!(log.contains("ERROR") || log.contains("WARN"), "{name}={value}: {log}");
    }
}

#[test]
fn a_kafka_that_is_away_holds_no_row_up() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let settings = [
        ("SIGHTSTREAM_DEAD_LETTER_TOPIC", "dead".to_string()),
        // Nobody is there: the system gives this port to no one who asks for any.
        ("SIGHTSTREAM_KAFKA", "127.0.0.1:1".to_string()),
    ];
    let mut worker = worker(folder.path(), &settings);
    load(&mut worker, &EMBED);
    begin(&mut worker, &EMBED, 2, None);
    let rows: Vec<_> = (0..100)
        .map(|id| match id % 2 {
            0 => row(id, format!("missing_{id}.jpg"), None),
            _ => row(id, format!("data:,row%20{id}"), None),
        })
        .collect();
    let answers = answered(&mut worker, &rows, 2);
    assert!(
        answers
            .iter()
            .all(|answer| answer.value().is_some() == (answer.id % 2 == 1))
    );
    end(&mut worker, 2);
    // What the topic has not taken is told at the end at the latest.
    let log = finished(worker);
    assert!(
        log.contains("dead letters are lost") || log.contains("a dead letter is lost"),
        "{log}"
    );
}
