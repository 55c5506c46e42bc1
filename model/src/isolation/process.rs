//! One worker process, seen from the service: started, asked, ended, and looked at once it is dead.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::slice;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::protocol::{
    DecodeJob, NOTHING, PROTOCOL, Ready, ReplyError, Request, SentFile, Setup, read_header, write_frame,
};
use super::reply::read_reply;
use super::stderr::{LogBudget, Stderr};
use super::{FittedAnswer, WorkerOptions, descriptor};
use crate::error::MediaError;
use crate::fetch::{Content, Identity};

/// How long a new worker may take until it is ready. A machine that is short of everything is slow, not broken.
const STARTUP: Duration = Duration::from_secs(30);

/// How long a worker that hung up may take to end by itself, so that it is known what it ended of.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// What a worker keeps of the environment: where its shared libraries are.
const KEPT_ENVIRONMENT: [&str; 1] = ["LD_LIBRARY_PATH"];

/// What Rust's standard library says when an allocation fails, before it aborts.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// A worker that is ready, or at a medium.
#[derive(Debug)]
pub(super) struct Worker {
    child: Child,
    service: UnixStream,
    stderr: Stderr,
    /// The files that it says to have open.
    open: Vec<Identity>,
}

/// How a worker ended on a medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Death {
    /// By a signal or an exit code; with its last words.
    Crashed(String),
    /// It ran into its limit.
    OutOfMemory,
    /// It was killed, because it took this long.
    TimedOut(Duration),
    /// It was killed, because it sent this instead of an answer.
    Protocol(String),
}

impl Death {
    /// The label for metrics.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Self::Crashed(_) => "crashed",
            Self::OutOfMemory => "memory",
            Self::TimedOut(_) => "timeout",
            Self::Protocol(_) => "protocol",
        }
    }
}

impl Worker {
    /// Starts a worker and waits until it is ready.
    pub(super) fn start(options: &WorkerOptions, log: &Arc<Mutex<LogBudget>>) -> Result<Self, String> {
        let (program, arguments) = options.command.split_first().ok_or("no command is given")?;
        let cannot = |error: io::Error| format!("{} cannot be started: {error}", program.display());
        let (service, theirs) = UnixStream::pair().map_err(cannot)?;
        let mut command = Command::new(program);
        command
            // What a list of processes shows, however the executable was found.
            .arg0("sightstream")
            .args(arguments)
            .env_clear()
            .envs(
                KEPT_ENVIRONMENT
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .current_dir("/")
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C at a terminal is for the service, which finishes what is in flight.
            .process_group(0);
        let mut child = command.spawn().map_err(cannot)?;
        // The command holds the worker's end of the socket, which would not be closed when the worker ends.
        drop(command);
        let pid = child.id();
        let stderr = match child
            .stderr
            .take()
            .map(|stderr| Stderr::follow(stderr, pid, Arc::clone(log)))
        {
            Some(Ok(stderr)) => stderr,
            failed => {
                end(&mut child);
                let error = failed
                    .and_then(Result::err)
                    .map_or_else(String::new, |error| error.to_string());
                return Err(format!("the standard error of a decode worker cannot be read: {error}"));
            }
        };
        let mut worker = Self {
            child,
            service,
            stderr,
            open: Vec::new(),
        };
        match worker.set_up(options) {
            Ok(()) => Ok(worker),
            Err(error) => {
                let death = worker.autopsy(error, STARTUP);
                Err(format!(
                    "{} does not work as a decode worker: {}",
                    program.display(),
                    described(&death)
                ))
            }
        }
    }

    fn set_up(&mut self, options: &WorkerOptions) -> Result<(), ReplyError> {
        let mut service = Timed::new(&self.service, STARTUP);
        let setup = Setup {
            protocol: PROTOCOL,
            memory: options.memory as u64,
        };
        write_frame(&mut service, &setup, NOTHING)?;
        match read_header(&mut service, super::protocol::MAX_REPLY_HEADER)? {
            (Ready { protocol: PROTOCOL }, 0) => Ok(()),
            (Ready { protocol }, length) => Err(ReplyError::Violation(format!(
                "protocol {protocol} and {length} bytes; expected protocol {PROTOCOL}"
            ))),
        }
    }

    /// Asks for one medium. On an error the worker is of no use any more: [`Worker::autopsy`] tells why.
    pub(super) fn ask(
        &mut self,
        job: &DecodeJob,
        content: &Content,
        name: &str,
        timeout: Duration,
    ) -> Result<Result<FittedAnswer, MediaError>, ReplyError> {
        let mut service = Timed::new(&self.service, timeout);
        match content {
            Content::Memory(bytes) => write_frame(&mut service, &Request { job, file: None }, slice::from_ref(bytes))?,
            Content::File(file) => {
                let sent = SentFile {
                    length: file.length,
                    identity: file.identity,
                };
                write_frame(&mut service, &Request { job, file: Some(sent) }, NOTHING)?;
                service.send(&file.file)?;
            }
        }
        let (outcome, open) = read_reply(&mut service, job, content.length(), name)?;
        self.open = open;
        Ok(outcome)
    }

    /// Whether it has a medium open.
    pub(super) fn has_open(&self, identity: Identity) -> bool {
        self.open.contains(&identity)
    }

    /// Whether it has any medium open.
    pub(super) fn has_any_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Ends the worker and says how it ended, after an exchange that failed with `error` within `timeout`.
    pub(super) fn autopsy(mut self, error: ReplyError, timeout: Duration) -> Death {
        let status = match error {
            ReplyError::Violation(what) => return Death::Protocol(what),
            ReplyError::Io(error) if error.kind() == ErrorKind::TimedOut => return Death::TimedOut(timeout),
            ReplyError::Io(_) => self.ended_by_itself(),
        };
        let Some(status) = status else {
            return Death::Protocol("it hung up".into());
        };
        let last_words = self.stderr.last_words();
        if status.signal() == Some(Signal::ABORT.as_raw()) && last_words.contains(OUT_OF_MEMORY) {
            return Death::OutOfMemory;
        }
        Death::Crashed(match last_words.as_str() {
            "" => ending(status),
            words => format!("{} ({words})", ending(status)),
        })
    }

    /// How the worker ended, if it does so soon.
    fn ended_by_itself(&mut self) -> Option<ExitStatus> {
        let give_up = Instant::now() + LAST_BREATH;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if Instant::now() < give_up => thread::sleep(Duration::from_millis(1)),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Kills a worker with all that it may have started, and takes its remains.
fn end(child: &mut Child) {
    // Its own number stays its own until it is waited for.
    if let Ok(None) = child.try_wait()
        && let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw)
    {
        // It may be ending at this moment, which is as good.
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = child.wait();
    }
}

/// A worker's end at its start, as a sentence.
fn described(death: &Death) -> String {
    match death {
        Death::Crashed(how) => format!("it ended {how}"),
        Death::OutOfMemory => "it ran out of memory".into(),
        Death::TimedOut(after) => format!("it was not ready after {} s", after.as_secs()),
        Death::Protocol(what) => format!("it sent {what}"),
    }
}

fn ending(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => match signal_name(signal) {
            Some(name) => format!("by signal {signal}, {name}"),
            None => format!("by signal {signal}"),
        },
        (None, code) => format!("with exit code {}", code.unwrap_or_default()),
    }
}

/// Those that end a decoder.
fn signal_name(signal: i32) -> Option<&'static str> {
    let names = [
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::ILL, "SIGILL"),
        (
            Signal::KILL,
            "SIGKILL: by somebody, or by the kernel for want of memory",
        ),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::SYS, "SIGSYS"),
        (Signal::TERM, "SIGTERM"),
        (Signal::TRAP, "SIGTRAP"),
    ];
    names
        .into_iter()
        .find(|(known, _)| known.as_raw() == signal)
        .map(|(_, name)| name)
}

/// A socket that gives up at a moment, however the other side drips.
struct Timed<'a> {
    socket: &'a UnixStream,
    give_up: Instant,
}

impl<'a> Timed<'a> {
    fn new(socket: &'a UnixStream, patience: Duration) -> Self {
        let now = Instant::now();
        // Longer than anybody lives, where the clock cannot hold it.
        let give_up = now.checked_add(patience).unwrap_or(now + Duration::from_secs(1 << 32));
        Self { socket, give_up }
    }

    /// Sends an open file.
    fn send(&self, file: &File) -> io::Result<()> {
        self.socket.set_write_timeout(self.left()?)?;
        descriptor::send(self.socket, file).map_err(as_timeout)
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let left = self.give_up.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }
}

/// A timeout of a socket is reported as if it did not block.
fn as_timeout(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer).map_err(as_timeout)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes).map_err(as_timeout)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
