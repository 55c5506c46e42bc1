//! Workers come when they are needed and go with whom they work for.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sightstream_model::isolation::WorkerOptions;

use crate::support::{LEFT_ALONE, PATIENCE, POISON, Test, decode, decoder, good_image, workers};

pub const TESTS: &[Test] = &[
    (
        "workers_start_with_the_first_medium_stay_and_go_with_their_decoder",
        workers_start_and_go,
    ),
    ("a_dead_worker_leaves_no_zombie", a_dead_worker_leaves_no_zombie),
    (
        "a_worker_that_is_killed_costs_nothing",
        a_worker_that_is_killed_costs_nothing,
    ),
    (
        "no_worker_outlives_a_service_that_is_killed",
        no_worker_outlives_a_service_that_is_killed,
    ),
    (
        "a_worker_has_nothing_but_its_socket",
        a_worker_has_nothing_but_its_socket,
    ),
];

/// The field after the name in /proc/PID/stat.
fn stat(pid: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// The workers of this kind that `parent` has started. Other tests of this process have workers too.
fn children(parent: u32, kind: &str) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("Linux has /proc");
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| {
        let is_child = stat(pid).is_some_and(|fields| fields[1] == parent.to_string());
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        is_child
            && command
                .split(|&byte| byte == 0)
                .any(|argument| argument == kind.as_bytes())
    })
    .collect()
}

fn zombies() -> Vec<u32> {
    let own = std::process::id().to_string();
    let all = fs::read_dir("/proc").expect("Linux has /proc");
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|&pid| stat(pid).is_some_and(|fields| fields[0] == "Z" && fields[1] == own))
        .collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "not {what} in time");
        thread::sleep(Duration::from_millis(5));
    }
}

fn workers_start_and_go() {
    let decoder = decoder(workers("sound@stays"));
    let running = || children(std::process::id(), "sound@stays");
    decode(&decoder, b"text needs no worker").expect("text");
    assert!(running().is_empty());
    decode(&decoder, &good_image()).expect("a good image");
    let started = running();
    assert_eq!(started.len(), 1, "one medium at a time is work for one worker");
    decode(&decoder, &good_image()).expect("a good image");
    assert_eq!(running(), started, "the worker stays");
    drop(decoder);
    assert!(stat(started[0]).is_none(), "the worker is gone, and was waited for");
}

fn a_dead_worker_leaves_no_zombie() {
    let decoder = decoder(workers("exits@zombie"));
    decode(&decoder, POISON).expect_err("the worker shows its fault");
    assert!(children(std::process::id(), "exits@zombie").is_empty());
    let left = zombies();
    // Workers of other tests may be dying at this moment; they do not stay.
    until("waited for", || zombies().iter().all(|pid| !left.contains(pid)));
}

fn a_worker_that_is_killed_costs_nothing() {
    let decoder = decoder(workers("hangs@killed"));
    let image = decode(&decoder, &good_image()).expect("a good image");
    let worker = children(std::process::id(), "hangs@killed");
    let killed = Command::new("kill").arg("-KILL").arg(worker[0].to_string()).status();
    assert!(killed.expect("there is a kill").success());
    until("dead", || stat(worker[0]).is_some_and(|fields| fields[0] == "Z"));
    assert_eq!(decode(&decoder, &good_image()), Ok(image), "another worker decodes it");
}

/// This executable as a service of its own, at a medium that its worker hangs on.
fn service_that_hangs() -> Child {
    let this = std::env::current_exe().expect("this executable has a path");
    let mut service = Command::new(this)
        .arg(LEFT_ALONE)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this executable starts");
    let mut line = String::new();
    let stdout = service.stdout.take().expect("it is piped");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("it says that it is ready");
    assert_eq!(line, "ready\n");
    service
}

/// The other side of [`service_that_hangs`].
pub fn hold_a_worker() -> ExitCode {
    let options = WorkerOptions {
        timeout: Duration::from_secs(3600),
        ..workers("hangs")
    };
    let decoder = decoder(options);
    decode(&decoder, &good_image()).expect("a good image");
    println!("ready");
    std::io::stdout().flush().expect("the test reads it");
    let _ = decode(&decoder, POISON);
    ExitCode::SUCCESS
}

fn no_worker_outlives_a_service_that_is_killed() {
    let mut service = service_that_hangs();
    let workers = children(service.id(), "hangs");
    assert_eq!(workers.len(), 1);
    // SIGKILL, while the worker is in the middle of a medium.
    thread::sleep(Duration::from_millis(50));
    service.kill().expect("it runs");
    service.wait().expect("it ends");
    until("gone", || stat(workers[0]).is_none_or(|fields| fields[0] == "Z"));
}

fn a_worker_has_nothing_but_its_socket() {
    let _open = fs::File::open("/proc/self/status").expect("a file");
    let decoder = decoder(workers("exits@socket"));
    decode(&decoder, &good_image()).expect("a good image");
    let worker = children(std::process::id(), "exits@socket")[0];
    let environment = fs::read(format!("/proc/{worker}/environ")).expect("its environment");
    let names = environment
        .split(|&byte| byte == 0)
        .filter(|variable| !variable.is_empty());
    for variable in names {
        assert!(
            variable.starts_with(b"LD_LIBRARY_PATH="),
            "{}",
            String::from_utf8_lossy(variable)
        );
    }
    let limits = fs::read_to_string(format!("/proc/{worker}/limits")).expect("its limits");
    let limit = |name: &str| {
        let line = limits.lines().find(|line| line.starts_with(name)).expect("a limit");
        line[name.len()..]
            .split_whitespace()
            .next()
            .expect("a value")
            .to_owned()
    };
    assert_eq!(
        (limit("Max core file size"), limit("Max open files")),
        ("0".into(), "16".into())
    );
    assert_ne!(limit("Max data size"), "unlimited");
    // Standard input, output and error, the socket again, and what tells how much memory it has taken.
    let open = fs::read_dir(format!("/proc/{worker}/fd")).expect("its files").count();
    assert_eq!(open, 5);
    // The process group is its own, and a shell's Ctrl-C is not for it.
    let group = stat(worker).expect("it runs")[2].clone();
    assert_eq!(group, worker.to_string());
}
