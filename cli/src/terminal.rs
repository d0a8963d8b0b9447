//! What the terminal can show, found out once at the start.

use std::io::{self, ErrorKind, IsTerminal, Write};

/// The width of everything that is no terminal, and the least that is used.
const WIDTH: usize = 80;

/// Where the output goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// Columns.
    pub(crate) width: usize,
    /// Whether colours are welcome.
    pub(crate) colours: bool,
    /// Whether somebody watches standard error.
    pub(crate) progress: bool,
}

impl Terminal {
    /// Looks at standard output and standard error.
    pub(crate) fn detect(no_color: bool, logs: bool) -> Self {
        let width = comfy_table::Table::new().width().map_or(0, usize::from);
        Self {
            width: width.max(WIDTH),
            colours: io::stdout().is_terminal() && !no_color,
            progress: io::stderr().is_terminal() && !logs,
        }
    }
}

/// Writes the answer to standard output. A reader that has seen enough, as
/// `head` has, is no failure.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
