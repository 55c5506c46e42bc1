//! A thousand pages: opened once, drawn one by one, in memory that does not grow.

use std::env;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sightstream_model::fetch::{Content, Identity, MediaFile};

use crate::kit::{PdfPage, Read, document};

const PAGES: u32 = 1000;

fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux has it");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes = line.and_then(|line| line.trim_start_matches(':').trim().strip_suffix(" kB"));
    kibibytes.and_then(|number| number.parse::<u64>().ok()).expect(field) * 1024
}

/// Each page has 100 kB of content, which hayro keeps of every page that it has drawn: 100 MB of all.
#[test]
fn a_thousand_pages_are_drawn_one_by_one_in_bounded_memory() {
    let page = |number: u32| {
        let mut page = PdfPage::corners(72, 72);
        let shade = f64::from(number % 100) / 100.0;
        page.content = format!("{shade:.2} 0 0 rg 3 3 66 66 re f\n%").into_bytes();
        page.content.resize(100_000, b'.');
        page
    };
    let bytes = document(&(1..=PAGES).map(page).collect::<Vec<_>>());
    let path = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(path.path(), &bytes).expect("it takes the document");
    let length = bytes.len() as u64;
    drop(bytes);

    let mut read = Read::of(Vec::new());
    read.content = Content::File(MediaFile {
        file: Arc::new(fs::File::open(path.path()).expect("it is there")),
        length,
        identity: Identity([7; 16]),
    });
    read.segmentation.page_dpi = 72.0;
    let started = Instant::now();
    assert_eq!(read.pages(), Ok(PAGES));
    let opening = started.elapsed();
    // Pages at both ends first, so that what is needed once is there.
    for number in (1..=50).chain(951..=PAGES) {
        read.page(number).expect("drawn");
    }
    let before = status("VmRSS");
    let mut peak = before;
    let started = Instant::now();
    for number in 1..=PAGES {
        let shade = (f64::from(number % 100) / 100.0 * 255.0).round() as u8;
        let image = read.page(number).expect("drawn");
        assert!(image.get_pixel(36, 36).0[0].abs_diff(shade) <= 1, "page {number}");
        peak = peak.max(status("VmRSS"));
    }
    let grown = peak.saturating_sub(before) >> 20;
    println!(
        "opened in {opening:?}; {PAGES} pages in {:?}; grew by {grown} MiB",
        started.elapsed()
    );
    assert!(grown < 40, "{grown} MiB more while the pages were drawn");
    assert!(opening < Duration::from_secs(10), "{opening:?}");
}

/// Width and height of a page of 64 million pixels, in points.
const POSTER: u32 = 1920;

/// In a process of its own, so that no other test's memory counts.
#[test]
fn a_large_page_takes_little_more_than_its_bitmap() {
    let output = Command::new(env::current_exe().expect("a test is an executable"))
        .args(["--exact", "large::one_large_page", "--ignored", "--nocapture"])
        .output()
        .expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    let bytes = told
        .split("bytes a pixel: ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let bytes: f64 = bytes.and_then(|number| number.parse().ok()).expect("it tells");
    println!("{bytes:.2} bytes a pixel");
    // The bitmap has 4.
    assert!((4.0..6.0).contains(&bytes), "{bytes}");
}

#[test]
#[ignore = "it is a part of `a_large_page_takes_little_more_than_its_bitmap`, which runs it"]
fn one_large_page() {
    let mut read = Read::of(document(&[PdfPage::corners(POSTER, POSTER)]));
    assert_eq!(read.pages(), Ok(1));
    let before = status("VmRSS");
    let image = read.page(1).expect("drawn");
    let pixels = u64::from(image.width()) * u64::from(image.height());
    assert_eq!(pixels, 64_000_000);
    println!("bytes a pixel: {}", (status("VmHWM") - before) as f64 / pixels as f64);
}
