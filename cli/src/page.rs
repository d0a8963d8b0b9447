//! Text laid out for a width: headings, wrapped paragraphs, tables, commands.

use comfy_table::{
    Attribute, Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, presets,
};

use crate::words::short;

/// What everything below a heading is indented by.
const INDENT: usize = 2;

/// The least that a wrapped text gets, however deep it is indented.
const LEAST: usize = 20;

/// A colour that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It went well.
    Good,
    /// A person should look.
    Look,
    /// It did not go well.
    Bad,
    /// It only stands out.
    Strong,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Good => "\u{1b}[1;32m",
            Self::Look => "\u{1b}[1;33m",
            Self::Bad => "\u{1b}[1;31m",
            Self::Strong => "\u{1b}[1m",
        }
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column<'a> {
    title: &'a str,
    holds: Holds,
}

/// What a column holds, which says what becomes of it when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Text,
    Name,
    Number,
}

impl<'a> Column<'a> {
    /// Text, which is wrapped when there is no room.
    pub(crate) fn text(title: &'a str) -> Self {
        let holds = Holds::Text;
        Self { title, holds }
    }

    /// Names, which are wrapped only when one is longer than half a line.
    pub(crate) fn name(title: &'a str) -> Self {
        let holds = Holds::Name;
        Self { title, holds }
    }

    /// Numbers, on the right and never wrapped.
    pub(crate) fn number(title: &'a str) -> Self {
        let holds = Holds::Number;
        Self { title, holds }
    }
}

/// A text that grows from top to bottom.
#[derive(Debug)]
pub(crate) struct Page {
    text: String,
    width: usize,
    colours: bool,
}

impl Page {
    pub(crate) fn new(width: usize, colours: bool) -> Self {
        Self {
            text: String::new(),
            width,
            colours,
        }
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text.trim_end());
        self.text.push('\n');
    }

    fn toned(&self, text: &str, tone: Tone) -> String {
        if self.colours {
            format!("{}{text}\u{1b}[0m", tone.code())
        } else {
            text.to_owned()
        }
    }

    /// A heading, apart from what is above it.
    pub(crate) fn heading(&mut self, title: &str, tone: Tone) {
        if !self.text.is_empty() {
            self.line("");
        }
        for line in wrapped(&short(title), self.width) {
            let line = self.toned(&line, tone);
            self.line(&line);
        }
    }

    /// A paragraph below a heading.
    pub(crate) fn say(&mut self, text: &str) {
        self.hang("", text);
    }

    /// A paragraph with a label before it, below which nothing stands.
    pub(crate) fn hang(&mut self, label: &str, text: &str) {
        let indent = INDENT + label.chars().count();
        let room = self.width.saturating_sub(indent).max(LEAST);
        for (n, line) in wrapped(&short(text), room).iter().enumerate() {
            let label = if n == 0 { label } else { "" };
            let padding = indent - label.chars().count() - INDENT;
            let line = format!("{:INDENT$}{label}{:padding$}{line}", "", "");
            self.line(&line);
        }
    }

    /// A line below a heading as it is, which has to fit.
    pub(crate) fn row(&mut self, text: &str) {
        self.line(&format!("{:INDENT$}{text}", ""));
    }

    /// How many characters a row has room for.
    pub(crate) fn row_width(&self) -> usize {
        self.width.saturating_sub(INDENT).max(LEAST)
    }

    /// A command to copy: where it has to be broken, the shell goes on reading.
    pub(crate) fn command(&mut self, words: &[String]) {
        const DEEPER: usize = 2 * INDENT;
        let mut line = " ".repeat(DEEPER);
        let mut empty = true;
        for word in words {
            // Two more for the backslash that may have to follow.
            let would_be = line.chars().count() + 1 + word.chars().count() + 2;
            if !empty && would_be > self.width {
                self.line(&format!("{line} \\"));
                line = " ".repeat(DEEPER + INDENT);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.line(&line);
    }

    /// A table below a heading.
    pub(crate) fn table(&mut self, columns: &[Column<'_>], rows: Vec<Vec<String>>) {
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(u16::try_from(self.width - INDENT).unwrap_or(u16::MAX))
            .force_no_tty();
        if self.colours {
            table.enforce_styling();
            table.style_text_only();
        }
        table.set_header(
            columns
                .iter()
                .map(|column| Cell::new(column.title).add_attribute(Attribute::Dim)),
        );
        for row in rows {
            table.add_row(row.iter().map(|cell| Cell::new(short(cell))));
        }
        let widths = table.column_max_content_widths();
        for (at, (column, width)) in columns.iter().zip(widths).enumerate() {
            let Some(of_table) = table.column_mut(at) else {
                continue;
            };
            of_table.set_padding((0, if at + 1 == columns.len() { 0 } else { 2 }));
            if column.holds == Holds::Number {
                of_table.set_cell_alignment(CellAlignment::Right);
            }
            let whole = match column.holds {
                Holds::Text => false,
                Holds::Name => usize::from(width) <= self.width / 2,
                Holds::Number => true,
            };
            if whole {
                of_table.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        for line in table.lines() {
            self.line(&format!("{:INDENT$}{line}", ""));
        }
    }
}

/// The text in lines of at most `width` characters, broken at spaces where
/// there are any.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut length = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + word.len() > width {
            lines.push(String::new());
            length = 0;
        }
        while word.len() > width {
            let rest = word.split_off(width);
            lines.push(String::new());
            let last = lines.len() - 2;
            lines[last].extend(word);
            word = rest;
        }
        let Some(line) = lines.last_mut() else {
            continue;
        };
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        length += word.len();
        line.extend(word);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_at_spaces_and_else_where_it_must() {
        assert_eq!(wrapped("", 5), [""]);
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghijkl mn", 5), ["abcde", "fghij", "kl mn"]);
        assert_eq!(wrapped("ab cdefghij", 5), ["ab", "cdefg", "hij"]);
    }

    #[test]
    fn a_broken_command_stays_one_command() {
        let mut page = Page::new(24, false);
        let words = ["steward", "plan", "--policy", "x.yaml"].map(str::to_owned);
        page.command(&words);
        assert_eq!(
            page.finish(),
            "    steward plan \\\n      --policy x.yaml\n"
        );
    }
}
