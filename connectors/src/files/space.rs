//! Waiting for space on a disk.

use std::io::{ErrorKind, Result};
use std::path::Path;
use std::time::Duration;

use crate::error::io_error;
use crate::{ConnectorError, Waits};

/// The pause between two tries.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Does `work`, which may block and writes to `path`, and does it again for as long as it fails because the disk or the
/// user's quota is full. A failed try must leave nothing behind.
pub(crate) async fn when_there_is_space<T, F>(
    waits: &Waits,
    path: &Path,
    work: F,
) -> std::result::Result<T, ConnectorError>
where
    T: Send + 'static,
    F: Fn() -> Result<T> + Clone + Send + 'static,
{
    let mut wait = waits.wait_for("space on the disk", format!("writing {}", path.display()));
    loop {
        let work = work.clone();
        let done = tokio::task::spawn_blocking(work).await;
        match done.map_err(|error| ConnectorError::Internal(error.to_string()))? {
            Ok(done) => {
                wait.passed();
                return Ok(done);
            }
            Err(error) if matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded) => {
                wait.failed(error);
            }
            Err(error) => return Err(io_error(path)(error)),
        }
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::io::Error;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_waited_for_and_other_errors_are_not() {
        let waits = Waits::default();
        let tries = Arc::new(AtomicUsize::new(0));
        let (counted, seen) = (Arc::clone(&tries), waits.clone());
        let work = move || match counted.fetch_add(1, Ordering::Relaxed) {
            0 => Err(ErrorKind::StorageFull.into()),
            _ => Ok(seen.current().len()),
        };
        let waiting = when_there_is_space(&waits, Path::new("/data/out"), work).await;
        assert_eq!(waiting.expect("there is space in the end"), 1, "the wait is told");
        assert_eq!(tries.load(Ordering::Relaxed), 2);
        assert!(waits.current().is_empty());

        let work = || Err::<(), _>(Error::from(ErrorKind::PermissionDenied));
        let error = when_there_is_space(&waits, Path::new("/data/out"), work).await;
        assert!(
            error
                .expect_err("that will not pass")
                .to_string()
                .starts_with("/data/out: ")
        );
    }
}
