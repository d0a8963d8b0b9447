//! Telling a waiting person what happens: one line that changes on a terminal,
//! plain lines elsewhere (a log of continuous integration has no cursor).
//!
//! Everything goes to standard error; standard output belongs to results.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// One step that takes long enough for a person to wonder.
pub struct Progress {
    spinner: Option<ProgressBar>,
}

impl Progress {
    /// A spinner when standard error is a terminal, plain lines otherwise.
    pub fn start(title: impl Into<Cow<'static, str>>) -> Self {
        let title = title.into();
        if std::io::stderr().is_terminal() {
            let spinner = ProgressBar::new_spinner().with_style(ProgressStyle::default_spinner());
            spinner.set_message(title);
            spinner.enable_steady_tick(Duration::from_millis(100));
            Self {
                spinner: Some(spinner),
            }
        } else {
            line(&title);
            Self { spinner: None }
        }
    }

    /// What is being done now.
    pub fn step(&self, what: impl Into<Cow<'static, str>>) {
        let what = what.into();
        match &self.spinner {
            Some(spinner) => spinner.set_message(what),
            None => line(&what),
        }
    }

    /// Takes the spinner away and leaves one line behind.
    pub fn finish(self, what: impl Into<Cow<'static, str>>) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        line(&what.into());
    }

    /// Takes the spinner away and leaves nothing behind.
    pub fn clear(self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
    }
}

/// Writes one line to standard error. A closed standard error is no reason to
/// stop.
fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
