//! Files and directories that are whole or absent.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempPath};

use crate::error::JobError;

/// Bytes that are collected before they are written.
const BUFFER: usize = 1 << 20;

/// A file that is written beside its place, and has its name once it is whole. What is there stays until then, and for good where
/// this is dropped before.
#[derive(Debug)]
pub struct WholeFile {
    path: PathBuf,
    file: File,
    /// Where it is, and where it is to be. `None` for a device or a pipe, which takes what comes as it comes.
    places: Option<(TempPath, PathBuf)>,
}

impl WholeFile {
    /// Checks that a file could be begun, without leaving anything.
    ///
    /// # Errors
    /// [`JobError::Io`] where nothing can be written.
    pub fn check(path: &Path) -> Result<(), JobError> {
        match replaced(path)? {
            true => Self::create(path).map(drop),
            // Who reads a pipe may take its first end for the last.
            false => Ok(()),
        }
    }

    /// Begins a file.
    ///
    /// # Errors
    /// [`JobError::Io`] where nothing can be written.
    pub fn create(path: &Path) -> Result<Self, JobError> {
        let failed = failure(path);
        if !replaced(path)? {
            let file = File::options().append(true).open(path).map_err(&failed)?;
            return Ok(Self {
                path: path.to_owned(),
                file,
                places: None,
            });
        }
        // A link to a file stays one, and the file is replaced.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (folder, name) = place(&target);
        let aside = Builder::new()
            .prefix(&format!(".{name}."))
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
            .map_err(&failed)?;
        let (file, aside) = aside.into_parts();
        if let Ok(there) = fs::metadata(&target) {
            file.set_permissions(there.permissions()).map_err(&failed)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            places: Some((aside, target)),
        })
    }

    /// Brings the file to the disk, and gives it its name.
    ///
    /// # Errors
    /// [`JobError::Io`]; then it is not there, or it is there and a crash could still take it away.
    pub fn finish(self) -> Result<(), JobError> {
        let Some((aside, target)) = self.places else {
            return Ok(());
        };
        let failed = failure(&self.path);
        self.file.sync_all().map_err(&failed)?;
        aside.persist(&target).map_err(|error| failed(error.error))?;
        sync(place(&target).0)
    }
}

/// Whether what is at `path` gives its place to a new file. A device or a pipe does not, nor what a process has open, even if a
/// shell made it a file.
fn replaced(path: &Path) -> Result<bool, JobError> {
    let is_open = ["/dev/stdout", "/dev/stderr", "/dev/fd"]
        .iter()
        .any(|open| path.starts_with(open))
        || path.starts_with("/proc") && path.components().any(|part| part.as_os_str() == "fd");
    match fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(failure(path)(io::ErrorKind::IsADirectory.into())),
        Ok(there) => Ok(there.is_file() && !is_open),
        Err(_) => Ok(true),
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Has `write` fill a [`WholeFile`].
///
/// # Errors
/// What `write` returns, and [`JobError::Io`].
pub fn whole_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<WholeFile>) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let mut writer = BufWriter::with_capacity(BUFFER, WholeFile::create(path)?);
    write(&mut writer)?;
    let file = writer.into_inner().map_err(|error| failure(path)(error.into_error()))?;
    file.finish()
}

/// Makes a [`WholeFile`] of `bytes`.
///
/// # Errors
/// [`JobError::Io`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), JobError> {
    whole_file(path, |file| file.write_all(bytes).map_err(failure(path)))
}

/// Has `write` fill a directory aside, and renames it to `directory`, which must not be there, or be empty.
///
/// # Errors
/// [`JobError::Config`] if it holds something already, what `write` returns, and [`JobError::Io`].
pub fn whole_directory<T>(directory: &Path, write: impl FnOnce(&Path) -> Result<T, JobError>) -> Result<T, JobError> {
    let failed = failure(directory);
    let is_free = match fs::read_dir(directory) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(failed(error)),
    };
    if !is_free {
        return Err(JobError::Config(format!(
            "{} holds files already; name a directory that is not there yet",
            directory.display()
        )));
    }
    let (folder, name) = place(directory);
    fs::create_dir_all(folder).map_err(&failed)?;
    let aside = Builder::new()
        .prefix(&format!(".{name}."))
        .permissions(Permissions::from_mode(0o777))
        .tempdir_in(folder)
        .map_err(&failed)?;
    let written = write(aside.path())?;
    sync(aside.path())?;
    fs::rename(aside.path(), directory).map_err(&failed)?;
    // It has another name now: there is nothing left to clean up.
    let _ = aside.keep();
    sync(folder)?;
    Ok(written)
}

/// The folder that `path` is in, and its name there.
fn place(path: &Path) -> (&Path, String) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (folder.unwrap_or(Path::new(".")), name.into_owned())
}

/// Brings a file, or the names in a folder, to the disk. Until then a renamed file may have its old name after a crash.
pub(crate) fn sync(path: &Path) -> Result<(), JobError> {
    let synced = File::open(path).and_then(|opened| opened.sync_all());
    synced.map_err(failure(path))
}

/// Why something at `path` could not be read or written.
pub(crate) fn failure(path: &Path) -> impl Fn(io::Error) -> JobError + '_ {
    move |source| JobError::Io {
        path: path.to_path_buf(),
        source,
    }
}
