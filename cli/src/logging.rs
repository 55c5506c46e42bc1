//! Logs, on standard error. What librdkafka says comes here too, through the `log` bridge of tracing-subscriber.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::OnceLock;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::args::{LogArgs, LogFormat};
use crate::error::UsageError;
use crate::progress;

/// Set once by [`init`]; decides how the last words of a command look.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Libraries that tell more than a user wants to know at the same level as ours. qdrant-edge warns at every start of
/// settings that only Qdrant's server makes.
const QUIETER: &str = "librdkafka=warn,rdkafka=warn,h2=warn,hyper=warn,hyper_util=warn,tower=warn,tonic=warn,\
                       datafusion=warn,datafusion_optimizer=warn,sqlparser=warn,qdrant_edge=error";

/// Starts logging. The level is `--log-level`, else `RUST_LOG`, else `default_level`.
pub fn init(args: &LogArgs, default_level: &str) -> anyhow::Result<()> {
    let _ = FORMAT.set(args.log_format);
    let (filter, origin) = match (&args.log_level, std::env::var("RUST_LOG")) {
        (Some(level), _) => (level.clone(), "--log-level"),
        (None, Ok(filter)) if !filter.is_empty() => (filter, "RUST_LOG"),
        _ => (default_level.to_string(), "the default level"),
    };
    // What the user's filter says of one of the libraries below comes later, and so wins.
    let directives = format!("{QUIETER},{filter}");
    let env_filter = EnvFilter::try_new(&directives).map_err(|error| {
        UsageError(format!(
            "{origin} cannot be '{filter}': {error}; write error, warn, info, debug or trace, or a filter such as \
             sightstream_model=debug,info"
        ))
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(env_filter)
        .with_writer(BesideProgress);
    let started = match args.log_format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// A panic as a log line like any other. What panicked may be one input's decoder, and the process go on.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("a panic without a message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    // Captured where RUST_BACKTRACE asks for it.
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => tracing::error!(panic = message, place, thread, %backtrace, "a thread panicked"),
        _ => tracing::error!(panic = message, place, thread, "a thread panicked"),
    }
}

/// Ends a command line that cannot be used, or one that asked for help: the exit code, once all is printed.
pub fn refuse(error: &clap::Error) -> ExitCode {
    // The form of the logs is not parsed then, so it is looked for.
    let asked = |word: &str| word == "--log-format=json";
    let arguments: Vec<String> = std::env::args().collect();
    let json = arguments.iter().any(|word| asked(word))
        || arguments
            .windows(2)
            .any(|pair| asked(&format!("{}={}", pair[0], pair[1])))
        || std::env::var("SIGHTSTREAM_LOG_FORMAT").is_ok_and(|format| format == "json");
    if json && error.use_stderr() {
        let log = LogArgs {
            log_format: LogFormat::Json,
            log_level: None,
        };
        if init(&log, "error").is_ok() {
            let rendered = error.render().to_string();
            print_error(rendered.trim().trim_start_matches("error: "));
            return ExitCode::from(2);
        }
    }
    // Nobody is left to tell if this fails.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// Prints the error that ends a command.
pub fn print_error(sentence: &str) {
    match FORMAT.get() {
        Some(LogFormat::Json) => tracing::error!("{sentence}"),
        _ => progress::tell(format_args!("error: {sentence}")),
    }
}

/// Whether logs are JSON, so that nothing else should be on standard error.
pub fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// Writes whole log lines to standard error, with the progress bars out of the way meanwhile.
struct BesideProgress;

impl<'a> MakeWriter<'a> for BesideProgress {
    type Writer = Self;

    fn make_writer(&'a self) -> Self::Writer {
        Self
    }
}

impl Write for BesideProgress {
    /// Never fails: the subscriber would tell standard error that it cannot write to standard error, which panics, and the
    /// panic would be logged.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let _ = progress::beside_bars(|| std::io::stderr().write_all(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}
