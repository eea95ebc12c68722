//! How a run looks in a terminal, in a log file, and to a program.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use landfall_proto::report::Progress;
use landfall_proto::time::Duration;

use crate::cli::{print, runs};
use crate::edge::news::News;

/// Three ways to show the same news.
pub(super) enum Show {
    Json,
    /// Lines that stay.
    Plain {
        last_percent: Option<u8>,
    },
    /// A bar that moves.
    Bar(ProgressBar),
}

impl Show {
    pub(super) fn new(json: bool) -> Self {
        if json {
            return Self::Json;
        }
        if !print::is_lively() {
            return Self::Plain { last_percent: None };
        }
        let bar = ProgressBar::with_draw_target(Some(100), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:12} [{bar:30}] {percent:>3} %  {msg}") {
            bar.set_style(style);
        }
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        Self::Bar(bar)
    }

    pub(super) fn news(&mut self, news: &News) -> anyhow::Result<()> {
        if let Self::Json = self {
            return print::json_line(news);
        }
        match news {
            News::Started { run } => self.line(&format!("run {run}")),
            News::Refused { message } => self.line(message),
            News::Phase { phase, .. } => match self {
                Self::Bar(bar) => bar.set_prefix(phase.to_string()),
                Self::Plain { .. } | Self::Json => self.line(&format!("{phase}")),
            },
            News::Progress(progress) => self.progress(progress),
            News::Retried(retried) => self
                .line(&format!("attempt {} failed: {}; next in {}", retried.attempt, retried.message, retried.delay)),
            News::Output { text, .. } => self.line(text),
            News::Ended { about, report } => {
                self.line(&format!("{} of {}: {} ({})", about.task, about.routine, report.outcome, report.reason));
                match self {
                    Self::Bar(bar) => bar.suspend(|| runs::describe(report)),
                    Self::Plain { .. } | Self::Json => runs::describe(report),
                }
            }
        }
        Ok(())
    }

    pub(super) fn cancelling(&self) {
        self.line("cancelling; the run ends as soon as its tool has ended");
    }

    pub(super) fn end(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }

    fn progress(&mut self, progress: &Progress) {
        let text = figures(progress);
        match self {
            Self::Bar(bar) => {
                bar.set_prefix(progress.phase.to_string());
                bar.set_position(u64::from(progress.percent.unwrap_or(0)));
                bar.set_message(text);
            }
            Self::Plain { last_percent } => {
                // A log file gets a line at each tenth, not each second.
                let tenth = progress.percent.map(|percent| percent / 10);
                if tenth.is_some() && tenth != *last_percent {
                    *last_percent = tenth;
                    print::line(&format!("{:>3} %  {text}", progress.percent.unwrap_or(0)));
                }
            }
            Self::Json => {}
        }
    }

    fn line(&self, text: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| print::line(text)),
            Self::Plain { .. } => print::line(text),
            Self::Json => {}
        }
    }
}

fn figures(progress: &Progress) -> String {
    let mut text = format!("{} files, {}", progress.files_done, print::size(progress.bytes_done));
    if let Some(total) = progress.bytes_total {
        text.push_str(&format!(" of {}", print::size(total)));
    }
    if progress.rate_bytes > 0 {
        text.push_str(&format!(", {}/s", print::size(progress.rate_bytes)));
    }
    if let Some(eta_ms) = progress.eta_ms {
        text.push_str(&format!(", {} left", print::took(Duration::from_ms(eta_ms / 1000 * 1000))));
    }
    if !progress.action.is_empty() {
        text.push_str(&format!("  {}", progress.action));
    }
    text
}
