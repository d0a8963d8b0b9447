//! What a person reads: calm text on standard output, with colours only on a
//! terminal.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::Result;
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

    /// An error with everything that led to it, on standard error.
    pub(crate) fn complain(&self, error: &anyhow::Error) {
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
    }

    /// A function's report, in short.
    pub(crate) fn report(&self, _steward: &Path, report: &Value) -> Result<()> {
        let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let list = |key: &str| {
            report[key]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default()
        };
        let count = |key: &str| report["summary"][key].as_u64().unwrap_or_default();
        self.say(format!(
            "  {} ({} mode): {} images seen, {} kept, {} deferred, {} planned, {} done, {} failed",
            self.strong(&text(report, "status")),
            text(report, "mode"),
            count("observed"),
            count("kept"),
            count("deferred"),
            count("planned"),
            count("done") + count("already_done"),
            count("failed"),
        ))?;
        let mut by_repository: BTreeMap<String, usize> = BTreeMap::new();
        for action in list("actions")
            .iter()
            .filter(|action| action["outcome"] != "deferred")
        {
            let repository = text(action, "resource");
            *by_repository
                .entry(repository.split('@').next().unwrap_or_default().to_owned())
                .or_default() += 1;
        }
        for (repository, images) in by_repository {
            self.say(format!("    {repository:<14} {images:>4} images to delete"))?;
        }
        for kept in list("kept") {
            self.say(format!(
                "    kept {:>4}: {}",
                kept["count"],
                text(kept, "reason")
            ))?;
        }
        for (kind, key, name) in [
            ("refused", "refusals", "unit"),
            ("could not read", "gaps", "read"),
        ] {
            for one in list(key) {
                self.say(format!(
                    "    {kind}: {} {}",
                    text(one, name),
                    text(one, "detail")
                ))?;
            }
        }
        Ok(())
    }
}
