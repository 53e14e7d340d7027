//! Highlights SQL as HTML: escaped, with markup for comments, strings, numbers, placeholders and keywords. For display only.

use std::fmt::Write as _;

use minijinja::HtmlEscape;
use shiftwork_sql::{Lexer, TokenKind};

/// Keywords that are highlighted.
const KEYWORDS: &str = " add all alter analyze and any append as asc begin between by call case cast char check cluster column \
    commit copy create cross current_date date decimal default delete desc distinct distkey diststyle drop else encode end \
    except execute exists external false for foreign from full function grant group having if in inner insert integer \
    interval into is join key language left like limit merge not null numeric on or order outer over partition primary \
    procedure references rename replace returning returns revoke right rollback row schema select set sortkey super table \
    temp then timestamp to transaction true truncate union unique unload update using values varchar view when where with \
    within ";

/// The SQL text as an HTML fragment. Text that the lexer cannot read is not highlighted.
pub(super) fn highlight(sql: &str) -> String {
    let mut html = String::with_capacity(sql.len() * 2);
    let mut read = 0;
    for token in Lexer::as_redshift(sql).map_while(Result::ok) {
        read = token.end;
        write_token(&mut html, token.kind, &sql[token.start..token.end]);
    }
    write_text(&mut html, None, &sql[read..]);
    html
}

fn write_token(html: &mut String, kind: TokenKind, text: &str) {
    let class = match kind {
        TokenKind::Comment => Some("c"),
        TokenKind::Literal => match body_of_dollar_quote(text) {
            // The body of a procedure is SQL again.
            Some((tag, body)) => {
                write_text(html, None, tag);
                html.push_str(&highlight(body));
                return write_text(html, None, tag);
            }
            None => Some("s"),
        },
        TokenKind::Number => Some("n"),
        TokenKind::Placeholder => Some("p"),
        TokenKind::Word => KEYWORDS.contains(&format!(" {} ", text.to_lowercase())).then_some("k"),
        TokenKind::Space
        | TokenKind::QuotedIdentifier
        | TokenKind::Semicolon
        | TokenKind::Open
        | TokenKind::Close
        | TokenKind::Dot
        | TokenKind::Other => None,
    };
    write_text(html, class, text);
}

/// `$tag$` and what stands between two of them.
fn body_of_dollar_quote(literal: &str) -> Option<(&str, &str)> {
    let end = literal.strip_prefix('$')?.find('$')? + 2;
    Some((&literal[..end], &literal[end..literal.len() - end]))
}

fn write_text(html: &mut String, class: Option<&str>, text: &str) {
    let _ = match class {
        Some(class) => write!(html, "<span class=\"{class}\">{}</span>", HtmlEscape(text)),
        None => write!(html, "{}", HtmlEscape(text)),
    };
}

#[cfg(test)]
mod tests {
    use super::highlight;

    #[test]
    fn every_character_is_kept_and_every_markup_escaped() {
        let sql = "SELECT '<b>' AS x, :day::date /* <i> */ -- </pre>\nFROM \"t&\" WHERE n > 1.5 AND s = 'open";
        let html = highlight(sql);
        assert!(!html.contains("<b>") && !html.contains("<i>") && !html.contains("</pre>"));
        assert!(html.contains("<span class=\"k\">SELECT</span>"), "{html}");
        assert!(
            html.contains("<span class=\"p\">:day</span>::date") || html.contains("<span class=\"p\">:day</span>::"),
            "{html}"
        );
        assert!(html.contains("<span class=\"n\">1.5</span>"), "{html}");
        assert!(html.ends_with("= &#x27;open"), "{html}");
    }

    #[test]
    fn quotes_and_comments_end_where_redshift_ends_them() {
        for (sql, html) in [
            (r"'it\'s' x", r#"<span class="s">&#x27;it\&#x27;s&#x27;</span> x"#),
            ("'a''b' x", r#"<span class="s">&#x27;a&#x27;&#x27;b&#x27;</span> x"#),
            ("/* a /* b */ c */x", r#"<span class="c">&#x2f;* a &#x2f;* b *&#x2f; c *&#x2f;</span>x"#),
            ("$q$ select $q$", r#"$q$ <span class="k">select</span> $q$"#),
            ("$$ 'open $$ 1", r#"$$ &#x27;open $$ <span class="n">1</span>"#),
        ] {
            assert_eq!(highlight(sql), html);
        }
    }
}
