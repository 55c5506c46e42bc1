//! Files and directories that are whole or absent.

use std::fs::{self, File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::Builder;

use crate::error::JobError;

/// Bytes that are collected before they are written.
const BUFFER: usize = 1 << 20;

/// Writes a file aside, on the disk for good, and renames it to `path`.
///
/// # Errors
/// What `write` returns, and [`JobError::Io`].
pub(super) fn whole_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&File>) -> Result<(), JobError>,
) -> Result<(), JobError> {
    let failed = failure(path);
    let (folder, name) = place(path);
    let aside = Builder::new()
        .prefix(&format!(".{name}."))
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(&failed)?;
    let mut writer = BufWriter::with_capacity(BUFFER, aside.as_file());
    write(&mut writer)?;
    writer.flush().map_err(&failed)?;
    drop(writer);
    aside.as_file().sync_all().map_err(&failed)?;
    aside.persist(path).map_err(|error| failed(error.error))?;
    sync_folder(folder)
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
    sync_folder(aside.path())?;
    fs::rename(aside.path(), directory).map_err(&failed)?;
    // It has another name now: there is nothing left to clean up.
    let _ = aside.keep();
    sync_folder(folder)?;
    Ok(written)
}

/// The folder that `path` is in, and its name there.
fn place(path: &Path) -> (&Path, String) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    (folder.unwrap_or(Path::new(".")), name.into_owned())
}

/// Until then a renamed file may have its old name after a crash.
fn sync_folder(folder: &Path) -> Result<(), JobError> {
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(failure(folder))
}

/// Why something at `path` could not be read or written.
pub(super) fn failure(path: &Path) -> impl Fn(io::Error) -> JobError + '_ {
    move |source| JobError::Io {
        path: path.to_path_buf(),
        source,
    }
}
