//! `--memory-limit`.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output};
use std::thread;
use std::time::Duration;

use common::{code, folder, job, json_lines, output, png, stderr};
use image::RgbImage;

const MIB: u64 = 1 << 20;

/// The most that was ever resident of a process, in bytes; 0 when it is gone.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kibibytes = status.lines().find_map(|line| {
        let value = line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?;
        value.trim().parse::<u64>().ok()
    });
    kibibytes.unwrap_or(0) * 1024
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let pids: Vec<u32> = lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<_>>()
        })
        .collect();
    pids
}

/// The most that was resident of a process and its children together, by the time it ends: the sum of the peaks of those
/// that there are at one time, which is no less.
fn peak_until_the_end(process: &mut Child) -> u64 {
    let mut most = 0;
    while process.try_wait().expect("it can be waited for").is_none() {
        let pids = children(process.id()).into_iter().chain([process.id()]);
        most = pids.map(peak).sum::<u64>().max(most);
        thread::sleep(Duration::from_millis(5));
    }
    most
}

#[test]
fn many_large_images_at_once_stay_under_the_ceiling() {
    let folder = folder();
    // 36 MB of pixels each, and all different, so that none shares another's work.
    let image = RgbImage::from_fn(4000, 3000, |x, y| {
        image::Rgb([(x / 16) as u8, (y / 16) as u8, (x ^ y) as u8])
    });
    image.save(folder.path().join("0.jpg")).expect("a JPEG can be written");
    let media: Vec<String> = (0..24).map(|number| format!("{number}.jpg")).collect();
    for other in &media[1..] {
        fs::hard_link(folder.path().join("0.jpg"), folder.path().join(other)).expect("a link");
    }
    let limit = 768 * MIB;
    assert!(
        24 * 4000 * 3000 * 3 > limit,
        "all of them at once would not be under it"
    );
    let (output, peak) = limited(folder.path(), &media, "768MiB");
    assert_eq!(
        (code(&output), json_lines(&output).len()),
        (0, 24),
        "{}",
        stderr(&output)
    );
    assert!(peak > 100 * MIB && peak <= limit, "{} MiB", peak / MIB);
    assert!(
        stderr(&output).contains("the memory limit is shared out"),
        "{}",
        stderr(&output)
    );
}

/// A job over these media under a limit, and the most that it held.
fn limited(directory: &Path, media: &[String], limit: &str) -> (Output, u64) {
    let mut command = job(directory, media);
    command.args(["--memory-limit", limit]);
    // Files, because nobody reads what is said until the end.
    let (out, err) = (directory.join("out"), directory.join("err"));
    command.stdout(fs::File::create(&out).expect("a new file"));
    command.stderr(fs::File::create(&err).expect("a new file"));
    let mut process = command.spawn().expect("the command can be started");
    let peak = peak_until_the_end(&mut process);
    let output = Output {
        status: process.wait().expect("it has ended"),
        stdout: fs::read(out).expect("it was written"),
        stderr: fs::read(err).expect("it was written"),
    };
    (output, peak)
}

/// A large video of 20 seconds.
fn video(directory: &Path, name: &str) {
    let made = Command::new("ffmpeg")
        .args([
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=1920x1080:rate=5:duration=20",
        ])
        .args(["-c:v", "libx264", "-pix_fmt", "yuv420p", "-preset", "ultrafast"])
        .arg(directory.join(name))
        .status();
    assert!(made.expect("ffmpeg is installed").success());
}

#[test]
fn many_videos_and_their_windows_stay_under_the_ceiling() {
    let folder = folder();
    video(folder.path(), "0.mp4");
    let mut media = Vec::new();
    for number in 0..4 {
        let name = format!("{number}.mp4");
        if number > 0 {
            // A copy: a link would be the same medium.
            fs::copy(folder.path().join("0.mp4"), folder.path().join(&name)).expect("a copy");
        }
        media.push(name.clone());
        media.extend((0..4).map(|window| format!("{name}#t={},{}", window * 5, window * 5 + 5)));
    }
    let (output, peak) = limited(folder.path(), &media, "896MiB");
    assert_eq!(
        (code(&output), json_lines(&output).len()),
        (0, 20),
        "{}",
        stderr(&output)
    );
    assert!(peak > 100 * MIB && peak <= 896 * MIB, "{} MiB", peak / MIB);
    assert!(
        !stderr(&output).contains("a decode worker ended"),
        "what stays open leaves room for the next: {}",
        stderr(&output)
    );
}

/// Of two media the first arrives, and the other is a dead letter for want of memory.
fn assert_the_second_is_too_large(folder: &Path, command: Command) {
    let output = output(command);
    assert_eq!(
        (code(&output), json_lines(&output).len()),
        (0, 1),
        "{}",
        stderr(&output)
    );
    let letters = fs::read_to_string(folder.join(".sightstream/job/dead_letters.jsonl"));
    let letters = letters.expect("the dead letters are beside the job's state");
    assert!(
        letters.contains("too_large") && letters.contains("the memory limit leaves room for"),
        "{letters}"
    );
}

#[test]
fn a_clip_that_there_is_no_memory_for_is_a_dead_letter() {
    let folder = folder();
    video(folder.path(), "a.mp4");
    let mut command = job(folder.path(), &["data:,red".to_string(), "a.mp4".to_string()]);
    command.args(["--memory-limit", "704MiB", "--video-frames", "128"]);
    assert_the_second_is_too_large(folder.path(), command);
}

#[test]
fn a_limit_that_is_too_small_is_refused_with_what_is_needed() {
    let folder = folder();
    png(folder.path(), "small.png", 1);
    let mut command = job(folder.path(), &["small.png".to_string()]);
    command.args(["--memory-limit", "200MiB"]);
    let refused = output(command);
    assert_eq!(code(&refused), 2);
    let told = stderr(&refused);
    assert!(
        told.contains("a memory limit of 200 MiB is too small: ") && told.contains("decoding 192 MiB"),
        "{told}"
    );

    let mut command = job(folder.path(), &["small.png".to_string()]);
    command.args(["--memory-limit", "1GiB", "--decoder", "in-process"]);
    let refused = output(command);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("a memory limit goes with isolated decoding"));
}

#[test]
fn a_text_that_there_is_no_memory_for_is_a_dead_letter() {
    let folder = folder();
    let long = format!("data:text/plain,{}", "red%20bicycle%20".repeat(6000));
    let mut command = job(folder.path(), &["data:,red".to_string(), long]);
    command.args(["--memory-limit", "1GiB", "--max-batch-tokens", "4096"]);
    assert_the_second_is_too_large(folder.path(), command);
}
