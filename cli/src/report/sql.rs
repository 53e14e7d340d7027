//! Highlights SQL as HTML: escaped, with markup for comments, strings, numbers, placeholders and keywords. For display
//! only.

use std::fmt::Write as _;

use minijinja::HtmlEscape;

/// Keywords that are highlighted.
const KEYWORDS: &str = " add all alter analyze and any append as asc begin between by call case cast char check cluster column \
    commit copy create cross current_date date decimal default delete desc distinct distkey diststyle drop else encode end \
    except execute exists external false for foreign from full function grant group having if in inner insert integer \
    interval into is join key language left like limit merge not null numeric on or order outer over partition primary \
    procedure references rename replace returning returns revoke right rollback row schema select set sortkey super table \
    temp then timestamp to transaction true truncate union unique unload update using values varchar view when where with \
    within ";

/// The SQL text as an HTML fragment.
pub(super) fn highlight(sql: &str) -> String {
    let mut html = String::with_capacity(sql.len() * 2);
    let mut rest = sql;
    while !rest.is_empty() {
        let (class, length) = token(rest);
        let (text, tail) = rest.split_at(length);
        rest = tail;
        let _ = match class {
            Some(class) => write!(html, "<span class=\"{class}\">{}</span>", HtmlEscape(text)),
            None => write!(html, "{}", HtmlEscape(text)),
        };
    }
    html
}

/// The class of the first token, and its length in bytes, which is at least one character.
fn token(text: &str) -> (Option<&'static str>, usize) {
    let until = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    let word = || text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let first = text.chars().next().map_or(1, char::len_utf8);
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some('-'), Some('-')) => (Some("c"), text.find('\n').unwrap_or(text.len())),
        (Some('/'), Some('*')) => (Some("c"), until("*/", 2)),
        (Some('\''), _) => (Some("s"), until("'", 1)),
        (Some('"'), _) => (None, until("\"", 1)),
        // A cast (`::`) is not a placeholder, and the text between dollar quotes is highlighted as SQL.
        (Some('$'), Some('$')) | (Some(':'), Some(':')) => (None, 2),
        (Some(':'), Some(next)) if next.is_alphabetic() || next == '_' => {
            (Some("p"), 1 + text[1..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len() - 1))
        }
        (Some(digit), _) if digit.is_ascii_digit() => {
            (Some("n"), text.find(|c: char| !c.is_alphanumeric() && c != '.').unwrap_or(text.len()))
        }
        (Some(letter), _) if letter.is_alphabetic() || letter == '_' => {
            let length = word();
            let is_keyword = KEYWORDS.contains(&format!(" {} ", text[..length].to_lowercase()));
            (is_keyword.then_some("k"), length)
        }
        (Some(_) | None, _) => (None, first),
    }
}

#[cfg(test)]
mod tests {
    use super::highlight;

    #[test]
    fn every_character_is_kept_and_markup_is_escaped() {
        let sql = "SELECT '<b>' AS x, :day::date /* <i> */ -- </pre>\nFROM \"t&\" WHERE n > 1.5 AND s = 'open";
        let html = highlight(sql);
        assert!(!html.contains("<b>") && !html.contains("<i>") && !html.contains("</pre>"));
        assert!(html.contains("<span class=\"k\">SELECT</span>"), "{html}");
        assert!(
            html.contains("<span class=\"p\">:day</span>::date") || html.contains("<span class=\"p\">:day</span>::"),
            "{html}"
        );
        assert!(html.contains("<span class=\"n\">1.5</span>"), "{html}");
    }
}
