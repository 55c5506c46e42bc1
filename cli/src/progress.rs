//! Progress on standard error: bars on a terminal, nothing elsewhere.

use std::io::{IsTerminal, Write};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use sightstream_model::checkpoint::{DownloadProgress, LogProgress};

/// All bars of the process, so that a log line can be written between them.
static BARS: LazyLock<MultiProgress> =
    LazyLock::new(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10)));

const TICK: Duration = Duration::from_millis(100);

/// Runs `write` with the bars taken off the screen, so that its output stays whole.
pub fn beside_bars<T>(write: impl FnOnce() -> T) -> T {
    BARS.suspend(write)
}

/// Writes to standard error, beside the bars. Where that is closed nobody reads it, which is no reason to end or to wait.
pub fn tell(text: impl std::fmt::Display) {
    beside_bars(|| {
        let _ = writeln!(std::io::stderr(), "{text}");
    });
}

/// A bar of `total` steps, or a counter where the total is not known. Hidden if standard error is no terminal.
pub fn bar(label: &'static str, total: Option<u64>) -> ProgressBar {
    let bar = BARS.add(match total {
        Some(total) => ProgressBar::new(total),
        None => ProgressBar::no_length(),
    });
    bar.set_style(style(total.is_some()));
    bar.set_prefix(label);
    bar.enable_steady_tick(TICK);
    bar
}

/// A line that says what is being waited for.
pub fn spinner(message: impl Into<String>) -> ProgressBar {
    let bar = BARS.add(ProgressBar::new_spinner());
    bar.set_message(message.into());
    bar.enable_steady_tick(TICK);
    bar
}

/// Shows the download of a checkpoint: a bar on a terminal, else lines in the log.
pub fn download() -> Arc<dyn DownloadProgress> {
    if std::io::stderr().is_terminal() {
        Arc::new(DownloadBar::default())
    } else {
        Arc::new(LogProgress::default())
    }
}

/// A bar that appears with the first bytes.
#[derive(Default)]
struct DownloadBar {
    bar: OnceLock<ProgressBar>,
}

impl DownloadProgress for DownloadBar {
    fn bytes(&self, _model: &str, done: u64, total: u64) {
        let bar = self.bar.get_or_init(|| {
            let bar = BARS.add(ProgressBar::new(total));
            let template = "{prefix:<9} [{bar:30}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta}";
            bar.set_style(ProgressStyle::with_template(template).expect("the template is well formed"));
            bar.set_prefix("download");
            bar
        });
        bar.set_length(total);
        bar.set_position(done);
    }
}

impl Drop for DownloadBar {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

/// The look of a bar with or without a known length.
pub fn style(with_length: bool) -> ProgressStyle {
    let template = if with_length {
        "{prefix:<9} [{bar:30}] {human_pos}/{human_len}  {per_sec:.1}  {eta}  {msg}"
    } else {
        "{prefix:<9} {spinner} {human_pos}  {per_sec:.1}  {elapsed}  {msg}"
    };
    ProgressStyle::with_template(template)
        .expect("the templates above are well formed")
        .progress_chars("=> ")
}

/// `1234567` as `1,234,567`.
pub fn grouped(count: u64) -> String {
    indicatif::HumanCount(count).to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_styles_are_well_formed() {
        for with_length in [true, false] {
            let _ = super::style(with_length);
        }
        assert_eq!(super::grouped(1_234_567), "1,234,567");
    }
}
