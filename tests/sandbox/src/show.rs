//! What a person reads: calm text on standard output, with colours only on a
//! terminal.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Standard output as a person sees it.
pub(crate) struct Stage {
    colours: bool,
}

impl Default for Stage {
    #[expect(
        clippy::disallowed_methods,
        reason = "NO_COLOR is how a person asks for no colours."
    )]
    fn default() -> Self {
        Self {
            colours: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        }
    }
}

impl Stage {
    /// One paragraph.
    pub(crate) fn say(&self, text: impl AsRef<str>) -> Result<()> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", text.as_ref())?;
        out.flush()?;
        Ok(())
    }

    /// The title of what comes.
    pub(crate) fn title(&self, text: &str) -> Result<()> {
        let title = if self.colours {
            format!("\x1b[1;36m{text}\x1b[0m")
        } else {
            text.to_owned()
        };
        self.say(format!("\n{title}\n"))
    }

    /// A text that stands out.
    pub(crate) fn strong(&self, text: &str) -> String {
        if self.colours {
            format!("\x1b[1m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// The command line at work, as a person would type it.
    pub(crate) fn run(
        &self,
        steward: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Result<()> {
        self.say(format!(
            "{}\n",
            self.strong(&format!("steward {}", arguments.join(" ")))
        ))?;
        let status = Command::new(steward)
            .args(arguments)
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_SESSION_TOKEN")
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("cannot run {}", steward.display()))?;
        ensure!(status.success(), "steward ended with {status}");
        Ok(())
    }

    /// An error with everything that led to it, on standard error.
    pub(crate) fn complain(&self, error: &anyhow::Error) {
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
    }

    /// A function's report, drawn by the command line as for anybody who runs
    /// it.
    pub(crate) fn report(&self, steward: &Path, report: &Value) -> Result<()> {
        let mut cli = Command::new(steward)
            .args(["report", "-"])
            .stdin(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", steward.display()))?;
        if let Some(mut input) = cli.stdin.take() {
            input.write_all(report.to_string().as_bytes())?;
        }
        // Any other status is that of the run, which has been told about.
        let status = cli.wait()?;
        ensure!(
            status.code() != Some(2),
            "steward could not show the report: {report}"
        );
        Ok(())
    }
}
