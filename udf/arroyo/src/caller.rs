//! A call as Arroyo makes it: a future that asks whoever has the service, and waits without holding the subtask's only thread.

use std::ffi::c_void;
use std::mem;
use std::panic::AssertUnwindSafe;
use std::ptr;
use std::time::Duration;

use futures::FutureExt;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::abi::{self, Call, Interface, Reply, Text};
use crate::rendezvous::interface;

/// How long a call that was not taken waits before it is handed over again.
const AGAIN: Duration = Duration::from_secs(1);

/// How long before Arroyo's timeout a call is given up: its thread may be late by so much.
fn margin(timeout: Duration) -> Duration {
    (timeout / 10).min(Duration::from_secs(60))
}

/// The value of a call; `None` is NULL, and why is told by then. It never panics, and ends before `timeout`.
pub async fn call(function: u32, url: &str, instruction: Option<&str>, timeout: Duration) -> Option<Vec<u8>> {
    let asked = AssertUnwindSafe(async { asked(interface(), function, url, instruction, timeout).await });
    // A panic would end the worker. The hook has told it.
    asked.catch_unwind().await.unwrap_or(None)
}

async fn asked(
    interface: &'static Interface,
    function: u32,
    url: &str,
    instruction: Option<&str>,
    timeout: Duration,
) -> Option<Vec<u8>> {
    let margin = margin(timeout);
    let end = Instant::now() + (timeout - margin);
    let (mut ticket, mut answered) = taken(interface, function, url, instruction, end).await?;
    let value = match tokio::time::timeout_at(end, &mut answered).await {
        Ok(value) => value,
        Err(_) => {
            ticket.give_back(abi::MET_TIMEOUT);
            // The row may have had its value, and been counted so, at that moment. Either way there is an answer now.
            let answered = tokio::time::timeout(margin / 2, answered).await;
            answered.unwrap_or(Ok(None))
        }
    };
    // A reply that was dropped without a value is none.
    value.unwrap_or(None)
}

/// Hands a call over. Where it is not taken it is held, and not NULL: so is the pipeline then, instead of running on without
/// values. `None` where it was not taken until `end`; whoever has the service logs why.
async fn taken(
    interface: &'static Interface,
    function: u32,
    url: &str,
    instruction: Option<&str>,
    end: Instant,
) -> Option<(Ticket, oneshot::Receiver<Option<Vec<u8>>>)> {
    loop {
        let (answer, answered) = oneshot::channel();
        let ticket = Ticket::submit(interface, function, url, instruction, answer);
        if ticket.is_taken() {
            return Some((ticket, answered));
        }
        let again = Instant::now() + AGAIN;
        if again > end {
            return None;
        }
        tokio::time::sleep_until(again).await;
    }
}

/// A call that was handed over. Dropping it gives the call up: Arroyo drops those of a pipeline that stops.
struct Ticket {
    interface: &'static Interface,
    /// Null where it was not taken, and once it was given back.
    ticket: *mut c_void,
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
        Self { interface, ticket }
    }

    fn is_taken(&self) -> bool {
        !self.ticket.is_null()
    }

    /// Gives the call up, unless it is over. Once.
    fn give_back(&mut self, why: u32) {
        let ticket = mem::replace(&mut self.ticket, ptr::null_mut());
        // SAFETY: it is the ticket of `submit`, or null, which is none.
        unsafe { (self.interface.release)(ticket, why) }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.give_back(match std::thread::panicking() {
            true => abi::PANICKED,
            false => abi::DROPPED,
        });
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

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A service that has the value at the very moment at which the call is given up.
    mod late {
        use super::*;

        pub static WHY: Mutex<Vec<u32>> = Mutex::new(Vec::new());

        pub unsafe extern "C" fn submit(_: *const Call, reply: Reply) -> *mut c_void {
            Box::into_raw(Box::new(reply)).cast()
        }

        pub unsafe extern "C" fn release(ticket: *mut c_void, why: u32) {
            if !ticket.is_null() {
                WHY.lock().expect("one test").push(why);
                // SAFETY: `submit` made it, and it is given back once.
                let reply = unsafe { Box::from_raw(ticket.cast::<Reply>()) };
                // SAFETY: the context is its own, and this is the only time.
                unsafe { (reply.done)(reply.context, [7].as_ptr(), 1) }
            }
        }
    }

    extern "C" fn begin() {}

    static LATE: Interface = Interface {
        build: abi::BUILD.as_ptr(),
        begin,
        submit: late::submit,
        release: late::release,
    };

    #[tokio::test]
    async fn a_value_that_comes_with_the_timeout_is_not_lost_and_a_panic_is_told() {
        let timeout = Duration::from_millis(50);
        assert_eq!(asked(&LATE, abi::EMBED, "data:,x", None, timeout).await, Some(vec![7]));
        let panics = async {
            let (answer, _answered) = oneshot::channel();
            let _ticket = Ticket::submit(&LATE, abi::EMBED, "data:,x", None, answer);
            panic!("on purpose");
        };
        assert!(AssertUnwindSafe(panics).catch_unwind().await.is_err());
        assert_eq!(*late::WHY.lock().expect("one test"), [abi::MET_TIMEOUT, abi::PANICKED]);
    }

    #[tokio::test]
    async fn a_call_that_is_not_taken_is_held_and_handed_over_again() {
        static REFUSALS: AtomicUsize = AtomicUsize::new(1);
        unsafe extern "C" fn submit(_: *const Call, reply: Reply) -> *mut c_void {
            let refused = REFUSALS
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
            let value: &[u8] = if refused { &[] } else { &[9] };
            let data = if refused { ptr::null() } else { value.as_ptr() };
            // SAFETY: the context is its own, and this is the only time.
            unsafe { (reply.done)(reply.context, data, value.len()) };
            if refused {
                ptr::null_mut()
            } else {
                ptr::NonNull::<c_void>::dangling().as_ptr()
            }
        }
        unsafe extern "C" fn release(_: *mut c_void, _: u32) {}
        static BUSY: Interface = Interface {
            build: abi::BUILD.as_ptr(),
            begin,
            submit,
            release,
        };
        let timeout = Duration::from_secs(60);
        assert_eq!(asked(&BUSY, abi::EMBED, "data:,x", None, timeout).await, Some(vec![9]));
        REFUSALS.store(usize::MAX, Ordering::SeqCst);
        assert_eq!(asked(&BUSY, abi::EMBED, "data:,x", None, Duration::ZERO).await, None);
    }
}
