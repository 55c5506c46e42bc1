//! Places at which tests kill the process.

use std::sync::Once;

/// Reads the variable `FAILPOINTS`, once: from then on the failpoints are on, for all jobs of the process.
pub(crate) fn arm() {
    static ARMED: Once = Once::new();
    // Its end would switch them off, and a second one waits for that.
    ARMED.call_once(|| std::mem::forget(fail::FailScenario::setup()));
}

/// Dies as by `kill -9` if the failpoint `name` is switched on (by the variable `FAILPOINTS`, and only in builds for
/// tests; elsewhere this compiles to nothing).
pub(crate) fn die_at(name: &str) {
    fail::fail_point!(name, |_| {
        let killed = std::process::Command::new("kill")
            .arg("-9")
            .arg(std::process::id().to_string())
            .status();
        tracing::error!(?killed, name, "the failpoint could not kill the process");
        std::process::abort();
    });
    // Without the feature, the macro is empty.
    let _ = name;
}
