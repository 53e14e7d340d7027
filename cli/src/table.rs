//! The tables that commands print.
//!
//! On a terminal, a table has lines, and texts are wrapped and cut. Names, ids and numbers are never wrapped: if they do not
//! fit, each row becomes a paragraph. Anywhere else (a pipe, a file) a table has no lines, and nothing is wrapped or cut, so
//! that other programs can read it.

use std::fmt;

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table as Drawn, presets};
use console::{Term, measure_text_width};

use crate::words;

/// Minimum width, in characters, to which the texts of a column are wrapped.
const NARROWEST: usize = 16;
/// Width of the padding of a column.
const PADDING: usize = 2;

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    title: &'static str,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A name or an id.
    Name,
    /// A number or a duration.
    Number,
    /// A text, of which a terminal shows the first line, and at most this number of characters.
    Text(usize),
}

impl Column {
    /// A column of names, ids or times, which are never wrapped.
    pub const fn name(title: &'static str) -> Self {
        Self { title, kind: Kind::Name }
    }

    /// A column of numbers, which are right-aligned and never wrapped.
    pub const fn number(title: &'static str) -> Self {
        Self { title, kind: Kind::Number }
    }

    /// A column of texts. A terminal shows their first lines, with at most `most` characters, and wraps them.
    pub const fn text(title: &'static str, most: usize) -> Self {
        Self { title, kind: Kind::Text(most) }
    }
}

/// A table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row, with a cell for each column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table for a terminal of this width in characters, or for another output.
    pub fn render(&self, width: Option<u16>) -> String {
        match width {
            None => self.plain(),
            Some(width) => {
                let rows: Vec<Vec<String>> = self.rows.iter().map(|row| self.shown(row)).collect();
                if self.narrowest(&rows) <= width.into() {
                    self.boxed(&rows, width)
                } else {
                    self.paragraphs(&rows, width.into())
                }
            }
        }
    }

    /// The cells of a row as a terminal shows them.
    fn shown(&self, row: &[String]) -> Vec<String> {
        let cut = |(column, cell): (&Column, &String)| match column.kind {
            Kind::Name | Kind::Number => one_line(cell),
            Kind::Text(most) => words::brief(cell, most),
        };
        self.columns.iter().zip(row).map(cut).collect()
    }

    /// The smallest width of a table in which only texts are wrapped.
    fn narrowest(&self, rows: &[Vec<String>]) -> usize {
        let width = |(at, column): (usize, &Column)| {
            let cells = rows.iter().map(|row| measure_text_width(&row[at]));
            let widest = cells.chain([measure_text_width(column.title)]).max().unwrap_or(0);
            PADDING
                + match column.kind {
                    Kind::Name | Kind::Number => widest,
                    Kind::Text(_) => widest.min(NARROWEST.max(measure_text_width(column.title))),
                }
        };
        self.columns.iter().enumerate().map(width).sum()
    }

    fn drawn(&self, rows: &[Vec<String>]) -> Drawn {
        let mut drawn = Drawn::new();
        drawn.set_header(self.columns.iter().map(|column| column.title)).add_rows(rows);
        for (column, of) in drawn.column_iter_mut().zip(&self.columns) {
            match of.kind {
                Kind::Name => _ = column.set_constraint(ColumnConstraint::ContentWidth),
                Kind::Number => {
                    column.set_constraint(ColumnConstraint::ContentWidth);
                    column.set_cell_alignment(CellAlignment::Right);
                }
                Kind::Text(_) => {}
            }
        }
        drawn
    }

    fn boxed(&self, rows: &[Vec<String>], width: u16) -> String {
        let mut drawn = self.drawn(rows);
        drawn
            .load_style(presets::UTF8_HORIZONTAL_ONLY)
            .set_content_arrangement(ContentArrangement::Dynamic)
            .set_width(width);
        drawn.trim_fmt()
    }

    fn plain(&self) -> String {
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(|cell| one_line(cell)).collect()).collect();
        let mut drawn = self.drawn(&rows);
        drawn.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        for column in drawn.column_iter_mut() {
            column.set_padding((0, 2));
        }
        drawn.trim_fmt()
    }

    /// Each row as a paragraph: its first name, then the other cells with their titles, as many on a line as fit.
    fn paragraphs(&self, rows: &[Vec<String>], width: usize) -> String {
        let head = self.columns.iter().position(|column| column.kind == Kind::Name).unwrap_or(0);
        let mut lines: Vec<String> = Vec::new();
        for row in rows {
            lines.extend(row.get(head).cloned());
            let mut line = String::new();
            let others =
                self.columns.iter().zip(row).enumerate().filter(|(at, (_, cell))| *at != head && !cell.is_empty());
            for (_, (column, cell)) in others {
                let fact = format!("{} {cell}", column.title);
                let parts: Vec<&str> = match column.kind {
                    Kind::Name | Kind::Number => vec![&fact],
                    Kind::Text(_) => fact.split(' ').collect(),
                };
                for (at, part) in parts.into_iter().enumerate() {
                    let comma = if at == 0 && !line.is_empty() { "," } else { "" };
                    if !line.is_empty() && measure_text_width(&line) + measure_text_width(part) + 3 > width {
                        lines.push(std::mem::take(&mut line) + comma);
                    }
                    line.push_str(if line.is_empty() { " " } else { comma });
                    line.push(' ');
                    line.push_str(part);
                }
            }
            lines.extend(Some(line).filter(|line| !line.is_empty()));
        }
        lines.join("\n")
    }
}

impl fmt::Display for Table {
    /// The table for the standard output.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terminal = Term::stdout();
        f.write_str(&self.render(terminal.is_term().then(|| terminal.size().1)))
    }
}

/// A cell on one line.
fn one_line(cell: &str) -> String {
    if !cell.contains(['\n', '\r', '\t']) {
        return cell.to_owned();
    }
    cell.split(['\n', '\r', '\t']).map(str::trim).filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Checks a table on terminals of several widths and without one: its names and numbers are whole everywhere, no line is
    /// wider than the terminal, and without a terminal everything is there, one line a row.
    pub(crate) fn holds(table: &Table) {
        let whole = |row: &Vec<String>| -> Vec<String> {
            let names = table.columns.iter().zip(row).filter(|(column, _)| !matches!(column.kind, Kind::Text(_)));
            names.map(|(_, cell)| one_line(cell)).collect()
        };
        for width in [80, 100, 160, 250] {
            let shown = table.render(Some(width));
            for line in shown.lines() {
                let is_one_cell = table
                    .rows
                    .iter()
                    .flatten()
                    .any(|cell| line.contains(&one_line(cell)) && measure_text_width(cell) + 24 > width.into());
                assert!(measure_text_width(line) <= width.into() || is_one_cell, "{width}: {line:?}");
            }
            for cell in table.rows.iter().flat_map(whole) {
                assert!(shown.lines().any(|line| line.contains(&cell)), "{width}: `{cell}` is not whole in\n{shown}");
            }
        }
        let plain = table.render(None);
        assert_eq!(plain.lines().count(), table.rows.len() + 1, "{plain}");
        assert!(!plain.contains(['─', '═', '│', '…']), "{plain}");
        for (row, line) in table.rows.iter().zip(plain.lines().skip(1)) {
            for cell in row {
                assert!(line.contains(&one_line(cell)), "`{cell}` is not in {line:?}");
            }
        }
    }

    fn table(id: &str, error: &str) -> Table {
        let mut table = Table::new([
            Column::name("run"),
            Column::name("status"),
            Column::name("start (UTC)"),
            Column::number("rows"),
            Column::text("error", 60),
        ]);
        table.row(["short", "SUCCEEDED", "2026-03-01 02:00:00", "1,234", ""].map(Into::into));
        table.row([id, "FAILED", "2026-03-01 02:00:00", "1", error].map(Into::into));
        table
    }

    const ERROR: &str =
        "ERROR: relation \"sales.orders\" does not exist and the message is longer than sixty characters\nin line 7";

    #[test]
    fn names_are_whole_at_any_width_and_everything_is_whole_in_a_pipe() {
        for id in ["nightly-20260301T020000-k7mq", &"w".repeat(78), &"w".repeat(200)] {
            holds(&table(id, ERROR));
        }
    }

    #[test]
    fn a_table_that_fits_has_lines_and_a_text_is_cut_on_a_terminal() {
        let shown = table("nightly-20260301T020000-k7mq", ERROR).render(Some(100));
        assert!(shown.contains('═') && shown.contains('…') && !shown.contains("in line 7"), "{shown}");
    }

    #[test]
    fn rows_that_do_not_fit_are_paragraphs() {
        let shown = table(&"w".repeat(78), "no such table").render(Some(80));
        let expected = format!(
            "short\n  status SUCCEEDED, start (UTC) 2026-03-01 02:00:00, rows 1,234\n{}\n  status FAILED, start (UTC) 2026-03-01 \
             02:00:00, rows 1, error no such table",
            "w".repeat(78)
        );
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_pipe_gets_one_line_a_row() {
        assert_eq!(
            table("id", "a\n  b").render(None),
            "run    status     start (UTC)           rows  error\n\
             short  SUCCEEDED  2026-03-01 02:00:00  1,234\n\
             id     FAILED     2026-03-01 02:00:00      1  a b"
        );
    }
}
