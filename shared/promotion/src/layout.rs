//! Lays out statements on lines, and keeps them below the limits of the Data API.

use shiftwork_sql::quote_literal;

/// Bytes after which a list is wrapped.
const WIDTH: usize = 96;
/// Bytes of the longest statement. The Data API accepts 100 KB; the limit is a little lower because its way of counting is not
/// documented.
pub(crate) const LONGEST_STATEMENT: usize = 99_000;
/// Most statements of one batch (Data API, `BatchExecuteStatement`).
pub(crate) const MOST_STATEMENTS: usize = 40;

/// Placeholders around a value of several lines, and between its lines, which [`sql`] replaces by line breaks and indentation.
/// Unicode reserves these code points for internal use, and a table contract cannot have a name with one of them.
const BEGIN: char = '\u{fdd0}';
const BREAK: char = '\u{fdd1}';
const END: char = '\u{fdd2}';

/// The text of a statement: removes the indentation of the template's first line from all its lines, and indents every line of a value
/// of several lines to the column where the value begins. A string literal must not contain a line break: use [`literal`].
pub(crate) fn sql(template: &str) -> String {
    let template = template.trim_matches('\n').trim_end();
    let indent = template.len() - template.trim_start_matches(' ').len();
    let mut out = String::with_capacity(template.len());
    for line in template.split('\n') {
        let line =
            line.get(indent..).filter(|_| line.starts_with(&template[..indent])).unwrap_or_else(|| line.trim_start());
        // A line that consists of an empty value is left out.
        if line.trim_matches([' ', BEGIN, END]).is_empty() {
            continue;
        }
        let mut column = 0;
        let mut begins = Vec::new();
        for character in line.chars() {
            match character {
                BEGIN => begins.push(column),
                END => {
                    begins.pop();
                }
                BREAK => {
                    column = begins.last().copied().unwrap_or(0);
                    out.push('\n');
                    out.push_str(&" ".repeat(column));
                }
                character => {
                    column += 1;
                    out.push(character);
                }
            }
        }
        out.push('\n');
    }
    out.pop();
    out
}

/// A string literal as a value of a template. A line break in it is written as `CHR(10)`, because [`sql`] would indent the next line.
pub(crate) fn literal(text: &str) -> String {
    if !text.contains('\n') {
        return quote_literal(text);
    }
    let lines: Vec<String> = text.split('\n').map(quote_literal).collect();
    format!("({})", lines.join(" || CHR(10) || "))
}

/// `text` of several lines as a value of a template.
pub(crate) fn block(text: &str) -> String {
    let text = text.replace('\n', &BREAK.to_string());
    format!("{BEGIN}{text}{END}")
}

/// `a, b, c` as a value of a template, wrapped after 96 bytes.
pub(crate) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    wrapped(items, ",")
}

/// `a b c` as a value of a template, wrapped after 96 bytes, with `between` after each item except the last.
pub(crate) fn wrapped<T: AsRef<str>>(items: impl IntoIterator<Item = T>, between: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for item in items {
        let item = item.as_ref();
        if !out.is_empty() {
            let wraps = column + item.len() + between.len() + 1 > WIDTH;
            out.push_str(between);
            out.push(if wraps { '\n' } else { ' ' });
            column = if wraps { 0 } else { column + between.len() + 1 };
        }
        out.push_str(item);
        column += item.len();
    }
    block(&out)
}

/// Items on a line each, as a value of a template, with `between` after each item except the last.
pub(crate) fn lines<T: AsRef<str>>(items: impl IntoIterator<Item = T>, between: &str) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.as_ref().to_owned()).collect();
    block(&items.join(&format!("{between}\n")))
}

/// The statement that `render` makes of all items. If it is longer than [`LONGEST_STATEMENT`], the items are divided among the fewest
/// statements that are not.
pub(crate) fn split_to_fit<T>(items: &[T], render: &impl Fn(&[T]) -> String) -> Vec<String> {
    let mut parts = 1;
    loop {
        let chunk = items.len().div_ceil(parts).max(1);
        let statements: Vec<String> = items.chunks(chunk).map(render).collect();
        let bytes: usize = statements.iter().map(String::len).sum();
        if chunk == 1 || statements.iter().all(|sql| sql.len() <= LONGEST_STATEMENT) {
            return statements;
        }
        parts = (parts + 1).max(bytes / LONGEST_STATEMENT);
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_STATEMENT, block, lines, list, literal, split_to_fit, sql};

    #[test]
    fn lines_of_a_value_are_indented_to_its_first_line() {
        let (inner, nothing) = (block("(\n    SELECT 1\n)"), block(""));
        let columns = lines(["a", "b"], ",");
        let statement = sql(&format!(
            r"
            -- A comment.
            SELECT {columns}
            FROM {inner} AS x
            {nothing}
            WHERE c
            "
        ));
        assert_eq!(statement, "-- A comment.\nSELECT a,\n       b\nFROM (\n         SELECT 1\n     ) AS x\nWHERE c");
    }

    #[test]
    fn a_literal_with_line_breaks_is_not_indented() {
        let name = block(&format!("CASE x\nWHEN {} THEN 1 END", literal("a\n  b'\n\n\\c")));
        let statement = sql(&format!("        SELECT {name}"));
        assert_eq!(
            statement,
            "SELECT CASE x\n       WHEN ('a' || CHR(10) || '  b''' || CHR(10) || '' || CHR(10) || $$\\c$$) THEN 1 END"
        );
        assert_eq!(literal("it's"), "'it''s'");
    }

    #[test]
    fn a_long_list_is_wrapped() {
        let names: Vec<String> = (0..40).map(|n| format!("column_{n}")).collect();
        let text = sql(&format!("    {}", list(&names)));
        assert!(text.lines().count() > 3 && text.lines().all(|line| line.len() <= 97), "{text}");
        assert_eq!(text.split(',').map(str::trim).collect::<Vec<_>>(), names);
    }

    #[test]
    fn a_long_statement_is_divided_and_every_item_is_in_one_statement() {
        let items: Vec<String> = (0..900).map(|n| format!("{n:0>200}")).collect();
        let statements = split_to_fit(&items, &|items| items.join(","));
        assert!(statements.len() > 1 && statements.iter().all(|sql| sql.len() <= LONGEST_STATEMENT));
        assert_eq!(statements.join(","), items.join(","));
        assert_eq!(split_to_fit(&[] as &[String], &|items| items.join(",")), Vec::<String>::new());
    }
}
