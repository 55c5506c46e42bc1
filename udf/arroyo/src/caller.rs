//! A call as Arroyo makes it: a future that asks whoever has the service, and waits without holding the subtask's only thread.

use std::ffi::c_void;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::oneshot;

use crate::abi::{Call, Interface, Reply, Text};
use crate::rendezvous::interface;

/// How long before Arroyo's timeout a call is given up: its thread may be late by so much.
fn margin(timeout: Duration) -> Duration {
    (timeout / 10).min(Duration::from_secs(60))
}

/// The value of a call; `None` is NULL, and why is told by then. It never panics, and ends before `timeout`.
pub async fn call(function: u32, url: &str, instruction: Option<&str>, timeout: Duration) -> Option<Vec<u8>> {
    let asked = AssertUnwindSafe(asked(function, url, instruction, timeout));
    // A panic would end the worker. The hook has told it.
    asked.catch_unwind().await.unwrap_or(None)
}

async fn asked(function: u32, url: &str, instruction: Option<&str>, timeout: Duration) -> Option<Vec<u8>> {
    let (answer, mut answered) = oneshot::channel();
    let mut ticket = Ticket::submit(interface(), function, url, instruction, answer);
    match tokio::time::timeout(timeout - margin(timeout), &mut answered).await {
        // A reply that was dropped without a value is none.
        Ok(value) => value.unwrap_or(None),
        Err(_) => {
            ticket.met_timeout = true;
            None
        }
    }
}

/// A call that was handed over. Dropping it gives the call up: Arroyo drops those of a pipeline that stops.
struct Ticket {
    interface: &'static Interface,
    ticket: *mut c_void,
    met_timeout: bool,
}

// SAFETY: the interface's functions may be called from any thread.
unsafe impl Send for Ticket {}

impl Ticket {
    fn submit(
        interface: &'static Interface,
        function: u32,
        url: &str,
        instruction: Option<&str>,
        answer: oneshot::Sender<Option<Vec<u8>>>,
    ) -> Self {
        let call = Call {
            function,
            url: Text::of(Some(url)),
            instruction: Text::of(instruction),
        };
        let reply = Reply {
            context: Box::into_raw(Box::new(answer)).cast(),
            done,
        };
        // SAFETY: the texts live until it returns.
        let ticket = unsafe { (interface.submit)(&call, reply) };
        Self {
            interface,
            ticket,
            met_timeout: false,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // SAFETY: it is the ticket of `submit`, and given back here only.
        unsafe { (self.interface.release)(self.ticket, self.met_timeout.into()) }
    }
}

/// [`Reply::done`] of this dylib.
unsafe extern "C" fn done(context: *mut c_void, value: *const u8, length: usize) {
    // SAFETY: the context is that of `submit`, and comes back once.
    let answer = unsafe { Box::from_raw(context.cast::<oneshot::Sender<Option<Vec<u8>>>>()) };
    let value = (!value.is_null()).then(|| {
        // SAFETY: whoever calls this lends so many bytes.
        unsafe { std::slice::from_raw_parts(value, length) }.to_vec()
    });
    // A call that was given up has nobody who listens.
    let _ = answer.send(value);
}
