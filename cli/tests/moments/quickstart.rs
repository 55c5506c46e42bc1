//! The quickstart over a folder with a video and a document.

use std::fs;

use crate::common::{code, folder, output, png, sightstream, stderr, stdout};
use crate::kit::{pdf, video};

#[test]
fn the_quickstart_finds_a_moment_and_a_page() {
    let folder = folder();
    let mine = folder.path().join("mine");
    fs::create_dir(&mine).expect("a new folder");
    video(&mine, "long.mp4", 190);
    video(&mine, "short.mp4", 10);
    fs::write(mine.join("report.pdf"), pdf(3)).expect("a new file");
    png(&mine, "image.png", 200);
    let mut command = sightstream(folder.path());
    command.args(["quickstart", "--media", "mine", "--data-dir", "data"]);
    let output = output(command);
    let text = stdout(&output);
    assert_eq!(code(&output), 0, "{text}{}", stderr(&output));
    assert!(
        text.starts_with("media        1 image, 2 videos and 1 document in mine\n"),
        "{text}"
    );
    let indexed: Vec<&str> = text.lines().filter(|line| line.starts_with("indexed")).collect();
    let numbers = indexed.iter().filter_map(|line| line.split_whitespace().last());
    assert_eq!(
        numbers.collect::<Vec<_>>(),
        ["4", "12"],
        "a point a medium, and one a window or page: {text}"
    );
    for (title, first) in [
        ("By a moment: ", "long.mp4 1:30-2:00"),
        ("By a page: ", "report.pdf page 2"),
    ] {
        let lines: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.starts_with(title))
            .take(3)
            .collect();
        assert!(lines.len() == 3 && lines[0].ends_with(first), "{text}");
        assert!(
            lines[2].contains("   1   1.0000  ") && lines[2].ends_with(first),
            "{text}"
        );
    }
}
