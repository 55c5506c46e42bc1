//! Panics on the consumer's thread, which nobody would hear of.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::buffer::Buffer;

/// Decodes by `decode`; a panic is a reason to reject the record. A decoder keeps no state that could be left broken.
pub(super) fn rejecting<T>(decode: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        Err(format!(
            "decoding it ended with a fault of this program: {}",
            said(panic.as_ref())
        ))
    })
}

/// Runs the consumer; a panic ends the source with an error.
pub(super) fn failing(buffer: &Buffer, run: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
        buffer.fail(format!(
            "the consumer ended with a fault of this program: {}",
            said(panic.as_ref())
        ));
    }
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EpochLimits;

    #[test]
    fn a_panic_rejects_the_record_or_ends_the_source() {
        let reason = rejecting::<()>(|| panic!("no {}", "digits")).expect_err("it panicked");
        assert!(reason.ends_with("fault of this program: no digits"), "{reason}");
        assert_eq!(rejecting(|| Ok(1)), Ok(1));

        let buffer = Buffer::new(EpochLimits::default());
        failing(&buffer, || {});
        assert_eq!(buffer.failure(), None);
        failing(&buffer, || panic!("lost"));
        assert!(buffer.failure().is_some_and(|reason| reason.ends_with(": lost")));
    }
}
