//! What FFmpeg logs, as events of `tracing`: a few lines at a time, since one damaged file can give thousands.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, Instant};

use ffmpeg_next::ffi;

/// The most lines in a [`WINDOW`].
const LINES: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);

/// The longest line.
const LINE: usize = 1024;

/// How C's variable arguments reach a callback.
#[cfg(target_arch = "x86_64")]
type Arguments = *mut ffi::__va_list_tag;
#[cfg(not(target_arch = "x86_64"))]
type Arguments = ffi::va_list;

static BRIDGE: Once = Once::new();

/// Whether lines go to standard error instead, as in a decode worker, which the service reads.
static TO_STANDARD_ERROR: AtomicBool = AtomicBool::new(false);

/// Takes FFmpeg's log over, once in a process. Without it FFmpeg would write to the terminal.
pub(super) fn bridge() {
    BRIDGE.call_once(|| {
        // SAFETY: the callback may be called from any thread, and lives as long as the process.
        unsafe { ffi::av_log_set_callback(Some(log)) }
    });
}

/// Sends FFmpeg's errors to standard error from now on: for a process whose standard error somebody logs, and that has no
/// other log.
pub fn ffmpeg_errors_to_standard_error() {
    TO_STANDARD_ERROR.store(true, Ordering::Relaxed);
}

struct Budget {
    since: Option<Instant>,
    logged: u32,
    suppressed: u64,
}

static BUDGET: Mutex<Budget> = Mutex::new(Budget {
    since: None,
    logged: 0,
    suppressed: 0,
});

impl Budget {
    /// Whether a line may be logged now, and how many were not since the last one that was.
    fn take(&mut self, now: Instant) -> Option<u64> {
        if self
            .since
            .is_none_or(|since| now.saturating_duration_since(since) >= WINDOW)
        {
            self.since = Some(now);
            self.logged = 0;
        }
        if self.logged == LINES {
            self.suppressed += 1;
            return None;
        }
        self.logged += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

/// The levels at which FFmpeg's lines are logged. What FFmpeg calls an error is one of a medium, whose row says so itself.
fn level(level: c_int) -> Option<tracing::Level> {
    if level <= ffi::AV_LOG_ERROR {
        Some(tracing::Level::WARN)
    } else if level <= ffi::AV_LOG_WARNING {
        Some(tracing::Level::DEBUG)
    } else if level <= ffi::AV_LOG_VERBOSE {
        Some(tracing::Level::TRACE)
    } else {
        None
    }
}

unsafe extern "C" fn log(context: *mut c_void, severity: c_int, format: *const c_char, arguments: Arguments) {
    // The higher bits are a colour.
    let Some(level) = level(severity & 0xFF) else { return };
    let to_standard_error = TO_STANDARD_ERROR.load(Ordering::Relaxed);
    let heard = match level {
        tracing::Level::WARN => to_standard_error || tracing::enabled!(target: "ffmpeg", tracing::Level::WARN),
        tracing::Level::DEBUG => tracing::enabled!(target: "ffmpeg", tracing::Level::DEBUG),
        _ => tracing::enabled!(target: "ffmpeg", tracing::Level::TRACE),
    };
    if !heard {
        return;
    }
    let mut line = [0 as c_char; LINE];
    let mut prefix = 1;
    // SAFETY: the arguments are those that FFmpeg handed over, the buffer is as long as is said, and what is written ends
    // with a zero.
    let line = unsafe {
        ffi::av_log_format_line2(
            context,
            severity,
            format,
            arguments,
            line.as_mut_ptr(),
            LINE as c_int,
            &mut prefix,
        );
        CStr::from_ptr(line.as_ptr()).to_string_lossy().into_owned()
    };
    let line = without_addresses(line.trim());
    if line.is_empty() {
        return;
    }
    let budget = BUDGET
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take(Instant::now());
    let Some(suppressed) = budget else { return };
    match level {
        tracing::Level::WARN if to_standard_error => {
            // Nobody is left to tell if this fails, and a panic would not get past FFmpeg.
            let _ = writeln!(std::io::stderr(), "ffmpeg: {line}");
        }
        tracing::Level::WARN => tracing::warn!(target: "ffmpeg", suppressed, "{line}"),
        tracing::Level::DEBUG => tracing::debug!(target: "ffmpeg", suppressed, "{line}"),
        _ => tracing::trace!(target: "ffmpeg", suppressed, "{line}"),
    }
}

/// `[h264 @ 0x5563] no frame!` without where the decoder lies in memory.
fn without_addresses(line: &str) -> String {
    let mut rest = line;
    let mut text = String::with_capacity(line.len());
    while let Some((before, after)) = rest.split_once(" @ 0x") {
        text.push_str(before);
        rest = after.trim_start_matches(|digit: char| digit.is_ascii_hexdigit());
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_speaks_but_not_from_where() {
        assert_eq!(
            without_addresses("[in @ 0x7f3a] [h264 @ 0x55d0c8] no frame!"),
            "[in] [h264] no frame!"
        );
        assert_eq!(without_addresses("user @ 0 home"), "user @ 0 home");
    }

    #[test]
    fn a_damaged_file_is_heard_a_few_lines_at_a_time() {
        let mut budget = Budget {
            since: None,
            logged: 0,
            suppressed: 0,
        };
        let start = Instant::now();
        assert_eq!(
            (0..1000).filter(|_| budget.take(start).is_some()).count(),
            LINES as usize
        );
        assert_eq!(budget.take(start + WINDOW), Some(1000 - u64::from(LINES)));
    }
}
