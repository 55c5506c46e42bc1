//! The dylib that has the service: takes calls of all dylibs, and answers them.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

use tokio::task::AbortHandle;

use crate::abi::{BUILD, Call, DROPPED, EMBED, Interface, Reply, SEGMENTS};
use crate::plugin::Plugin;
use crate::row::{Function, Row};
use crate::tell::Budget;

/// This dylib's own.
pub static INTERFACE: Interface = Interface {
    build: BUILD.as_ptr(),
    begin,
    submit,
    release,
};

/// The one of this process, as all dylibs take the same interface. `None` where the system gives no threads for it; a later
/// call tries again.
fn plugin() -> Option<&'static Plugin> {
    static PLUGIN: OnceLock<Plugin> = OnceLock::new();
    if let Some(plugin) = PLUGIN.get() {
        return Some(plugin);
    }
    static STARTING: Mutex<()> = Mutex::new(());
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if PLUGIN.get().is_none() {
        match Plugin::start() {
            Ok(plugin) => drop(PLUGIN.set(plugin)),
            Err(error) => {
                // Every row tries it each second.
                static LOG: Mutex<Option<Budget>> = Mutex::new(None);
                let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(left_out) = log.get_or_insert_default().take(Instant::now()) {
                    tracing::error!(%error, left_out, "no row can be taken: the system gives no threads; rows are held");
                }
            }
        }
    }
    PLUGIN.get()
}

extern "C" fn begin() {
    // Nothing may unwind into another's code.
    let _ = catch_unwind(|| {
        if let Some(plugin) = plugin() {
            plugin.begin();
        }
    });
}

/// A call under way. It belongs to the caller, who gives it back.
struct Ticket {
    task: AbortHandle,
    given_up: Arc<AtomicU32>,
}

unsafe extern "C" fn submit(call: *const Call, reply: Reply) -> *mut c_void {
    let answer = Answer(Some(reply));
    let submitted = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller's call lives until this returns, and its texts too.
        let (function, url, instruction) = unsafe {
            let call = &*call;
            (call.function, call.url.copied(), call.instruction.copied())
        };
        let function = match function {
            EMBED => Function::Embed,
            SEGMENTS => Function::Segments,
            // A dylib of this interface knows no others.
            _ => return None,
        };
        let plugin = plugin()?;
        let given_up = Arc::new(AtomicU32::new(DROPPED));
        let row = Row {
            function,
            url: url?,
            instruction,
            given_up: Arc::clone(&given_up),
        };
        let task = plugin.spawn(row, move |value| answer.give(value));
        Some(Box::new(Ticket { task, given_up }))
    }));
    submitted
        .ok()
        .flatten()
        .map_or(ptr::null_mut(), |ticket| Box::into_raw(ticket).cast())
}

unsafe extern "C" fn release(ticket: *mut c_void, why: u32) {
    if ticket.is_null() {
        return;
    }
    let _ = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: it is a ticket of `submit`, which is given back once.
        let ticket = unsafe { Box::from_raw(ticket.cast::<Ticket>()) };
        ticket.given_up.store(why, Ordering::Release);
        // Nothing happens to one that has ended.
        ticket.task.abort();
    }));
}

/// Answers once: with a value, or with none where it is dropped.
struct Answer(Option<Reply>);

impl Answer {
    fn give(mut self, value: Option<&[u8]>) {
        self.send(value);
    }

    fn send(&mut self, value: Option<&[u8]>) {
        if let Some(reply) = self.0.take() {
            let (data, length) = value.map_or((ptr::null(), 0), |value| (value.as_ptr(), value.len()));
            // SAFETY: the context is its own, and this is the only time.
            unsafe { (reply.done)(reply.context, data, length) }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.send(None);
    }
}
