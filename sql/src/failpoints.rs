//! Places at which tests kill the process.

/// Reads the variable `FAILPOINTS`; the failpoints are on for as long as the result lives.
pub(crate) fn arm() -> fail::FailScenario<'static> {
    fail::FailScenario::setup()
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
