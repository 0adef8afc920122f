//! The line that shows a run while it runs, on a terminal only.

use std::time::Duration;

use buflock::report::json::Summary;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line on standard error that goes when the run ends; nothing where that is no terminal.
#[derive(Debug)]
pub struct Live(ProgressBar);

impl Live {
    /// The line.
    pub fn new() -> Live {
        let bar = ProgressBar::new_spinner();
        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(8));
        let style = ProgressStyle::with_template("{spinner} {elapsed} {wide_msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        bar.enable_steady_tick(Duration::from_millis(125));
        Live(bar)
    }

    /// How things are.
    pub fn show(&self, text: String) {
        self.0.set_message(text);
    }

    /// Says something above the line.
    pub fn say(&self, text: &str) {
        self.0.suspend(|| eprintln!("{text}"));
    }

    /// Takes the line away.
    pub fn end(self) {
        self.0.finish_and_clear();
    }
}

/// How a run is.
pub fn progress(summary: &Summary, seconds: f64) -> String {
    let speed = summary.programs as f64 / seconds.max(1e-3);
    let findings = summary.findings;
    format!(
        "{} programs, {speed:.0}/s · {} new, {} known · {}",
        summary.programs,
        findings.new,
        findings.known,
        mix(summary, 4)
    )
}

/// The most frequent outcomes and their shares.
pub fn mix(summary: &Summary, most: usize) -> String {
    let total = summary.steps.max(1) as f64;
    let mut outcomes: Vec<_> = summary.outcomes.iter().collect();
    outcomes.sort_by_key(|(label, count)| (std::cmp::Reverse(**count), (*label).clone()));
    let share = |(label, count): &(&String, &u64)| format!("{label} {:.1} %", 100.0 * **count as f64 / total);
    outcomes.iter().take(most).map(share).collect::<Vec<_>>().join(", ")
}
