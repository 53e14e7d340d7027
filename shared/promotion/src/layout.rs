//! How statements are laid out on lines, and kept below the Data API's limits.

/// Lists wrap after so many characters.
const WIDTH: usize = 96;
/// Bytes of the longest statement that the Data API takes: 100 KB. A little less, for its own counting is not documented.
pub(crate) const LONGEST_STATEMENT: usize = 99_000;
/// Statements of one batch (Data API, `BatchExecuteStatement`).
pub(crate) const MOST_STATEMENTS: usize = 40;

/// Around a value of several lines, and between its lines, until [`sql`] knows where on its line the value begins. Unicode reserves
/// these code points for a program's own use, and table contracts have no name with one of them.
const BEGIN: char = '\u{fdd0}';
const BREAK: char = '\u{fdd1}';
const END: char = '\u{fdd2}';

/// The text of a statement: a template without the indentation of its first line, and every line of a value of several lines as
/// far in as its first.
pub(crate) fn sql(template: &str) -> String {
    let template = template.trim_matches('\n').trim_end();
    let indent = template.len() - template.trim_start_matches(' ').len();
    let mut out = String::with_capacity(template.len());
    for line in template.split('\n') {
        let line =
            line.get(indent..).filter(|_| line.starts_with(&template[..indent])).unwrap_or_else(|| line.trim_start());
        // A line that holds nothing but a value that is empty.
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

/// A text of several lines as a value of a template.
pub(crate) fn block(text: &str) -> String {
    let text = text.replace('\n', &BREAK.to_string());
    format!("{BEGIN}{text}{END}")
}

/// `a, b, c` as a value of a template, wrapped.
pub(crate) fn list<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    wrapped(items, ",")
}

/// `a b c` as a value of a template, wrapped; with something behind each but the last.
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

/// One item a line as a value of a template.
pub(crate) fn lines<T: AsRef<str>>(items: impl IntoIterator<Item = T>, between: &str) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.as_ref().to_owned()).collect();
    block(&items.join(&format!("{between}\n")))
}

/// The statement that `render` makes of all items, or as few as it takes to keep each below the limit.
pub(crate) fn fitting<T>(items: &[T], render: &impl Fn(&[T]) -> String) -> Vec<String> {
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
    use super::{LONGEST_STATEMENT, block, fitting, lines, list, sql};

    #[test]
    fn values_of_several_lines_stand_where_they_begin() {
        let (inner, nothing) = (block("(\n    SELECT 1\n)"), block(""));
        let columns = lines(["a", "b"], ",");
        let statement = sql(&format!(
            r"
            -- Why.
            SELECT {columns}
            FROM {inner} AS x
            {nothing}
            WHERE c
            "
        ));
        assert_eq!(statement, "-- Why.\nSELECT a,\n       b\nFROM (\n         SELECT 1\n     ) AS x\nWHERE c");
    }

    #[test]
    fn a_long_list_is_wrapped() {
        let names: Vec<String> = (0..40).map(|n| format!("column_{n}")).collect();
        let text = sql(&format!("    {}", list(&names)));
        assert!(text.lines().count() > 3 && text.lines().all(|line| line.len() <= 97), "{text}");
        assert_eq!(text.split(',').map(str::trim).collect::<Vec<_>>(), names);
    }

    #[test]
    fn a_long_statement_becomes_several_that_hold_every_item_once() {
        let items: Vec<String> = (0..900).map(|n| format!("{n:0>200}")).collect();
        let statements = fitting(&items, &|items| items.join(","));
        assert!(statements.len() > 1 && statements.iter().all(|sql| sql.len() <= LONGEST_STATEMENT));
        assert_eq!(statements.join(","), items.join(","));
        assert_eq!(fitting(&[] as &[String], &|items| items.join(",")), Vec::<String>::new());
    }
}
