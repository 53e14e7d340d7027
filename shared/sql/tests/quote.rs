//! Redshift and standard SQL read quoted identifiers and string literals the same way.

use proptest::prelude::*;
use shiftwork_sql::{IDENTIFIER_BYTES, Lexer, TokenKind, identifier, quote_identifier, quote_literal, quoted};

/// The value of a literal, read as Redshift does (`\` escapes the next character) or as standard SQL does. None if the literal ends
/// before the text does.
fn unquote(literal: &str, backslash_escapes: bool) -> Option<String> {
    if let Some(tag) =
        literal.strip_prefix('$').and_then(|rest| rest.split_once('$')).map(|(tag, _)| format!("${tag}$"))
    {
        let (text, rest) = literal[tag.len()..].split_once(&tag)?;
        return rest.is_empty().then(|| text.to_owned());
    }
    let mut text = String::new();
    let mut chars = literal.strip_prefix('\'')?.chars();
    loop {
        match chars.next()? {
            '\'' => match chars.next() {
                Some('\'') => text.push('\''),
                Some(_) => return None,
                None => return Some(text),
            },
            '\\' if backslash_escapes => text.push(chars.next()?),
            other => text.push(other),
        }
    }
}

#[test]
fn literals_are_written_in_single_quotes_or_between_dollars() {
    for (text, literal) in [
        ("", "''"),
        ("it's; \"x\"", "'it''s; \"x\"'"),
        ("a$b", "'a$b'"),
        (r"\d", r"$$\d$$"),
        (r"\d$$", r"$q$\d$$$q$"),
        (r"\d$", r"$q$\d$$q$"),
        (r"\'; drop table t; --", r"$$\'; drop table t; --$$"),
        (r"\$$ $q$ $qq$", r"$qqq$\$$ $q$ $qq$$qqq$"),
    ] {
        assert_eq!(quote_literal(text), literal);
    }
}

#[test]
fn only_safe_names_are_written_without_quotes() {
    for name in ["order_id", "_a1"] {
        assert_eq!(identifier(name), name);
    }
    for name in ["order", "Id", "1st", "a-b", "größe", "", "a b"] {
        assert_eq!(identifier(name), format!("\"{name}\""));
    }
    assert_eq!(identifier("a\"; drop table t; --"), "\"a\"\"; drop table t; --\"");
}

#[test]
fn names_that_are_not_valid_in_redshift_are_refused() {
    assert_eq!(quote_identifier("a\"b").unwrap(), "\"a\"\"b\"");
    assert!(quote_identifier(&"a".repeat(IDENTIFIER_BYTES)).is_ok());
    let refused = |name: &str| quote_identifier(name).unwrap_err().to_string();
    assert_eq!(refused(""), "an identifier cannot be empty");
    assert_eq!(refused("a\0"), "an identifier cannot contain a NUL character");
    assert_eq!(refused(&"ä".repeat(64)), "an identifier can have at most 127 bytes, and this one has 128");
}

proptest! {
    #[test]
    fn redshift_and_standard_sql_read_a_literal_as_the_quoted_text(text in r"([a-z'\\$;:/*\-]|\$q\$|[^\x00]){0,24}") {
        let literal = quote_literal(&text);
        prop_assert_eq!(unquote(&literal, true), Some(text.clone()), "Redshift, {}", literal);
        prop_assert_eq!(unquote(&literal, false), Some(text), "standard SQL, {}", literal);
        let tokens: Vec<_> = Lexer::new(&literal).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(tokens.iter().map(|token| token.kind).collect::<Vec<_>>(), [TokenKind::Literal]);
    }

    #[test]
    fn an_identifier_is_one_token(name in r#"([a-z"';:$]|[^\x00]){1,24}"#) {
        let tokens: Vec<_> = Lexer::new(&quoted(&name)).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(tokens.iter().map(|token| token.kind).collect::<Vec<_>>(), [TokenKind::QuotedIdentifier]);
        let written = identifier(&name);
        let tokens: Vec<_> = Lexer::new(&written).collect::<Result<_, _>>().unwrap();
        prop_assert_eq!(tokens.len(), 1, "{}", written);
        let unquoted = written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).map(|rest| rest.replace("\"\"", "\""));
        prop_assert_eq!(unquoted.unwrap_or(written), name);
    }
}
