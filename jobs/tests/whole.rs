//! Files that are whole or absent.

use std::fs;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use sightstream_jobs::JobError;
use sightstream_jobs::whole::{WholeFile, whole_file, write};

type Result = std::result::Result<(), JobError>;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("the file is there")
}

#[test]
fn what_is_there_stays_until_the_new_one_is_whole() -> Result {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scores.csv");
    for (before, after) in [(None, "first"), (Some("first"), "second")] {
        let mut file = WholeFile::create(&path)?;
        file.write_all(after.as_bytes()).expect("a disk");
        assert_eq!(path.exists().then(|| text(&path)).as_deref(), before);
        file.finish()?;
        assert_eq!(text(&path), after);
        assert_eq!(names(folder.path()), ["scores.csv"]);
    }
    let mode = || fs::metadata(&path).expect("a file").permissions().mode();
    assert_eq!(mode() & 0o600, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("a disk");
    write(&path, b"second")?;
    assert_eq!(mode() & 0o777, 0o640);

    let mut given_up = WholeFile::create(&path)?;
    given_up.write_all(b"half of the th").expect("a disk");
    drop(given_up);
    let error = whole_file(&path, |file| {
        file.write_all(b"half of the fourth").expect("a disk");
        Err(JobError::Config("something else went wrong".to_owned()))
    });
    assert_eq!(
        error.expect_err("it is handed on").to_string(),
        "something else went wrong"
    );
    assert_eq!(
        (text(&path).as_str(), names(folder.path())),
        ("second", vec!["scores.csv".to_owned()])
    );
    Ok(())
}

#[test]
fn what_a_process_has_open_is_written_in_place() -> Result {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.txt");
    let mut open = fs::File::create(&path).expect("a disk");
    open.write_all(b"a table\n").expect("a disk");
    write(
        &PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd())),
        b"its rows\n",
    )?;
    assert_eq!(text(&path), "a table\nits rows\n");

    // A disk in memory is a disk.
    let shared = tempfile::tempdir_in("/dev/shm").expect("a folder");
    let path = shared.path().join("scores.csv");
    write(&path, b"first")?;
    write(&path, b"second")?;
    assert_eq!(text(&path), "second");
    Ok(())
}

#[test]
fn a_file_that_could_be_written_is_left_as_it_is() -> Result {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("scores.csv");
    WholeFile::check(&path)?;
    assert!(names(folder.path()).is_empty());
    write(&path, b"scores")?;
    WholeFile::check(&path)?;
    assert_eq!(
        (text(&path).as_str(), names(folder.path())),
        ("scores", vec!["scores.csv".to_owned()])
    );
    for nowhere in [folder.path(), &folder.path().join("none/scores.csv")] {
        assert!(WholeFile::check(nowhere).is_err(), "{}", nowhere.display());
    }
    Ok(())
}

#[test]
fn a_link_stays_one_and_its_file_is_replaced() -> Result {
    let folder = tempfile::tempdir().expect("a folder");
    let (real, link) = (folder.path().join("disk/log.csv"), folder.path().join("log.csv"));
    fs::create_dir(folder.path().join("disk")).expect("a disk");
    write(&real, b"before")?;
    symlink(&real, &link).expect("a disk");
    write(&link, b"after")?;
    assert!(link.is_symlink());
    assert_eq!(text(&real), "after");
    assert_eq!(names(&folder.path().join("disk")), ["log.csv"]);
    Ok(())
}

#[test]
fn a_device_takes_what_comes() -> Result {
    let device = Path::new("/dev/null");
    write(device, b"scores")?;
    assert!(fs::metadata(device).expect("it is there").file_type().is_char_device());
    Ok(())
}

#[test]
fn a_place_where_no_file_can_be_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    for place in [folder.path().join("no/such/folder/a.csv"), folder.path().to_owned()] {
        let error = WholeFile::create(&place).expect_err("refused").to_string();
        assert!(error.starts_with(&place.display().to_string()), "{error}");
    }
}
