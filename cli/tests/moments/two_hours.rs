//! A video of two hours: a point for each window, one fetch, and little memory.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use crate::common::folder;
use crate::kit::{MOMENTS, serve, video};

const MIB: u64 = 1 << 20;

/// What a video may take beyond what the model and the program do.
const MOST: u64 = 600 * MIB;

#[test]
fn two_hours_are_240_points_of_one_fetch_in_little_memory() {
    let folder = folder();
    let with_nothing = peak_of(MOMENTS.job(folder.path(), &["data:,nothing"]));
    fs::remove_dir_all(folder.path().join("db")).expect("it was made");

    video(folder.path(), "long.mp4", 7200);
    let (address, asked) = serve(fs::read(folder.path().join("long.mp4")).expect("it was made"));
    let url = format!("http://{address}/long");
    let mut job = MOMENTS.job(folder.path(), &[&url]);
    job.args(["--allow-network", "127.0.0.0/8"]);
    let peak = peak_of(job);
    let mut points = MOMENTS.points(folder.path());
    assert_eq!(points.len(), 240);
    points.sort_by(|a, b| {
        a["start"]
            .as_f64()
            .partial_cmp(&b["start"].as_f64())
            .expect("seconds are numbers")
    });
    for (index, point) in points.iter().enumerate() {
        let start = 30.0 * index as f64;
        assert_eq!(
            (point["start"].as_f64(), point["end"].as_f64()),
            (Some(start), Some(start + 30.0))
        );
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1, "it was fetched once");
    assert!(
        peak < with_nothing + MOST,
        "{} MiB instead of {} MiB",
        peak / MIB,
        with_nothing / MIB
    );
}

/// Runs a job that succeeds: the sum of the peaks of its processes, which is no less than their peak together.
fn peak_of(mut job: Command) -> u64 {
    let mut process = job.spawn().expect("the command can be started");
    let mut peaks = BTreeMap::new();
    let status = loop {
        for pid in children(&process).into_iter().chain([process.id()]) {
            let entry = peaks.entry(pid).or_insert(0);
            *entry = peak(pid).max(*entry);
        }
        if let Some(status) = process.try_wait().expect("it can be waited for") {
            break status;
        }
        thread::sleep(Duration::from_millis(10));
    };
    assert!(status.success(), "{status}");
    peaks.values().sum()
}

/// The most that was ever resident of a process, in bytes; 0 when it is gone.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kibibytes = status.lines().find_map(|line| {
        let value = line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?;
        value.trim().parse::<u64>().ok()
    });
    kibibytes.unwrap_or(0) * 1024
}

fn children(process: &Child) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.id()))
        .into_iter()
        .flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect()
}
