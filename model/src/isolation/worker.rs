//! The worker's side: what an executable runs when it is started to decode.

use std::any::Any;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::FittedAnswer;
use super::confine::{close_inherited_files, confine};
use super::counts::Counts;
use super::descriptor;
use super::protocol::{
    DecodeJob, NOTHING, PROTOCOL, Ready, ReplyError, Request, SentFile, Setup, read_header, read_payload, write_frame,
};
use super::reply::{Reply, Told};
use super::taken::Taken;
use crate::error::MediaError;
use crate::fetch::{Content, MediaFile};
use crate::media::Reader;

/// When media that stay open, with their decoders, leave less than so many parts of the memory for the next one, all but
/// the last are let go.
const FULL: u64 = 3;

/// Why a worker ended other than by the service hanging up.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// Standard input is not the service's socket.
    #[error("a decode worker is started by sightstream itself, which talks to it through its standard input ({0})")]
    NoService(io::Error),
    /// The service is of another version.
    #[error("the service speaks protocol {service}, this worker {PROTOCOL}: they are of different versions")]
    Version {
        /// What the service speaks.
        service: u32,
    },
    /// A limit could not be set.
    #[error("the worker cannot be confined: {0}")]
    Confine(io::Error),
    /// The service sent something else than a job, or its socket failed.
    #[error("the service cannot be understood: {0}")]
    Protocol(String),
}

/// Decodes what the service sends through standard input, until it hangs up. Confines the process first: nothing else is
/// to be done in it.
///
/// # Errors
/// [`WorkerError`].
pub fn run_worker() -> Result<(), WorkerError> {
    serve(|reader, job, content| job.read(reader, content, ""))
}

/// [`run_worker`] with another way to do a job. The name in an error does not matter: the service puts in its own.
///
/// # Errors
/// [`WorkerError`].
pub fn serve(
    mut read: impl FnMut(&mut Reader, &DecodeJob, &Content) -> Result<FittedAnswer, MediaError>,
) -> Result<(), WorkerError> {
    close_inherited_files();
    let mut service = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(UnixStream::from)
        .map_err(WorkerError::NoService)?;
    let Some((setup, _)) = next::<Setup>(&mut service)? else {
        return Ok(());
    };
    if setup.protocol != PROTOCOL {
        return Err(WorkerError::Version {
            service: setup.protocol,
        });
    }
    // Its standard error is what the service logs of it.
    crate::media::video::ffmpeg_errors_to_standard_error();
    let taken = Taken::from_now().map_err(WorkerError::Confine)?;
    confine(setup.memory, &taken).map_err(WorkerError::Confine)?;
    answer(&mut service, &Ready { protocol: PROTOCOL }, NOTHING)?;
    let mut reader = Reader::default();
    let counts = Counts::of_this_process();
    while let Some((Request { job, file }, length)) = next::<Request<DecodeJob>>(&mut service)? {
        let bytes = read_payload(&mut service, length).map_err(protocol)?;
        let content = match file {
            None => Content::Memory(bytes.into()),
            Some(SentFile { length, identity }) => Content::File(MediaFile {
                file: Arc::new(descriptor::receive(&service).map_err(protocol)?),
                length,
                identity,
            }),
        };
        let work = AssertUnwindSafe(|| read(&mut reader, &job, &content));
        let outcome = catch_unwind(work).unwrap_or_else(|panic| {
            // Nobody knows what state the panic left it in.
            reader = Reader::default();
            Err(panicked(&*panic))
        });
        drop(content);
        let (reply, payload) = Reply::of(outcome);
        let counts = counts.take();
        if taken.bytes().map_err(WorkerError::Confine)? > setup.memory / FULL {
            reader.make_room();
        }
        let open = reader.open().collect();
        answer(&mut service, &Told { reply, counts, open }, &payload)?;
    }
    Ok(())
}

/// The next frame's header and the length of its payload, or `None` if the service has hung up.
fn next<H: serde::de::DeserializeOwned>(service: &mut UnixStream) -> Result<Option<(H, u64)>, WorkerError> {
    match read_header(service, u32::MAX) {
        Ok(frame) => Ok(Some(frame)),
        Err(ReplyError::Io(error)) => match error.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => Ok(None),
            _ => Err(WorkerError::NoService(error)),
        },
        Err(violation) => Err(protocol(violation)),
    }
}

fn answer(
    service: &mut UnixStream,
    header: &impl serde::Serialize,
    payload: &[impl AsRef<[u8]>],
) -> Result<(), WorkerError> {
    write_frame(service, header, payload).map_err(protocol)
}

fn protocol(error: impl ToString) -> WorkerError {
    WorkerError::Protocol(error.to_string())
}

fn panicked(panic: &(dyn Any + Send)) -> MediaError {
    MediaError::Panicked {
        name: String::new(),
        message: crate::error::panic_message(panic),
    }
}
