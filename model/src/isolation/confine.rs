//! What a worker takes from itself before it sees the first untrusted byte.

use std::fmt;
use std::fs;
use std::io::{self, Write};

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetError, Scope};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};
use rustix::thread::{set_name, set_no_new_privs};

use super::taken::Taken;

/// Standard input, output and error, the socket, and a few to spare.
const FILES: u64 = 16;

/// The newest Landlock that is asked for; an older kernel enforces what it knows.
const LANDLOCK: ABI = ABI::V6;

/// Confines this process: it ends with the thread that started it, may have `memory` bytes more than before `taken`, leaves no
/// core dump, gets no new privileges, and opens neither files nor connections.
pub(super) fn confine(memory: u64, taken: &Taken) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_name(c"sightstream-dec")?;
    limit(Resource::Core, 0)?;
    limit(Resource::Nofile, FILES)?;
    // The limit is on what is writable and its own: not on the executable, which is mapped and mostly never read.
    limit(Resource::Data, taken.before().saturating_add(memory))?;
    // If the machine itself runs out of memory, the kernel ends a worker rather than the process that it works for.
    if let Err(error) = fs::write("/proc/self/oom_score_adj", "1000") {
        tell(format_args!(
            "the kernel's choice for want of memory cannot be influenced: {error}"
        ));
    }
    set_no_new_privs(true)?;
    renounce_files_and_connections().map_err(io::Error::other)
}

/// Closes what the process that started this one had open and did not mark as its own. To be called before anything is
/// opened here.
pub(super) fn close_inherited_files() {
    // SAFETY: it changes no memory. Descriptors above standard error were opened by nobody in this process, which has only
    // begun, so that none is closed under its owner.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    if closed != 0 {
        tell(format_args!(
            "inherited files stay open: {}",
            io::Error::last_os_error()
        ));
    }
}

/// Standard error is what the service logs of a worker. It may be gone.
fn tell(what: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{what}");
}

fn limit(resource: Resource, most: u64) -> io::Result<()> {
    // What somebody has allowed at most cannot be raised, and need not be.
    let most = getrlimit(resource).maximum.map_or(most, |allowed| allowed.min(most));
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    Ok(setrlimit(resource, limit)?)
}

/// By Landlock, as far as this kernel has it.
fn renounce_files_and_connections() -> Result<(), RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .restrict_self()
        .map(drop)
}
