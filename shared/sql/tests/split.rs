//! Tests of the splitter and of placeholders, with a table of SQL texts and with random texts.

use proptest::prelude::*;
use shiftwork_sql::{Lexer, Position, TokenKind, placeholders, quote_literal, quoted, split};

fn texts(sql: &str) -> Vec<String> {
    split(sql)
        .unwrap_or_else(|problem| panic!("{sql}: {problem}"))
        .into_iter()
        .map(|statement| statement.text)
        .collect()
}

#[test]
fn statements_end_where_redshift_ends_them() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        (" ;;\n; ", &[]),
        ("-- nothing here", &[]),
        ("/* nothing; here */;", &[]),
        ("select 1", &["select 1"]),
        ("select 1;", &["select 1"]),
        ("select 1;select 2", &["select 1", "select 2"]),
        ("\u{feff}select 1;\r\nselect 2;\r\n", &["select 1", "select 2"]),
        ("select ';' ; select 2", &["select ';'", "select 2"]),
        ("select 'it''s; fine'; select 2", &["select 'it''s; fine'", "select 2"]),
        (r"select 'C:\\'; select 2", &[r"select 'C:\\'", "select 2"]),
        (r"select 'a\d;'; select 2", &[r"select 'a\d;'", "select 2"]),
        (r"select E'it\'s; fine'; select 2", &[r"select E'it\'s; fine'", "select 2"]),
        (r"select '\'' || a; select 2", &[r"select '\'' || a", "select 2"]),
        (r"select 'it\'s; fine'; select 2", &[r"select 'it\'s; fine'", "select 2"]),
        (r"select '\'; select 2'", &[r"select '\'; select 2'"]),
        (r#"select "a;""b" from t; select 2"#, &[r#"select "a;""b" from t"#, "select 2"]),
        ("select 1 -- a; b\n; select 2", &["select 1 -- a; b", "select 2"]),
        ("/* a /* b; */ c; */ select 1; select 2", &["/* a /* b; */ c; */ select 1", "select 2"]),
        ("select $$a;b$$; select 2", &["select $$a;b$$", "select 2"]),
        ("select $t$a;$$;b$t$; select 2", &["select $t$a;$$;b$t$", "select 2"]),
        ("select a$$b; select 2", &["select a$$b", "select 2"]),
        ("select $1; select 2", &["select $1", "select 2"]),
        ("select 'ä;' || ü; select 2", &["select 'ä;' || ü", "select 2"]),
        (
            "create procedure p() as $$ begin delete from t; end; $$ language plpgsql; call p();",
            &["create procedure p() as $$ begin delete from t; end; $$ language plpgsql", "call p()"],
        ),
    ];
    for (sql, expected) in cases {
        assert_eq!(texts(sql), *expected, "{sql}");
    }
}

#[test]
fn placeholders_are_names_after_a_colon_outside_of_literals() {
    let cases: &[(&str, &[&str])] = &[
        ("select :day", &["day"]),
        ("select :day, :day, :a_1", &["a_1", "day"]),
        ("select a::date, :day::date", &["day"]),
        ("select ':day', \":day\", $$:day$$ -- :day\n/* :day */", &[]),
        ("select 1 where a >:day", &["day"]),
        ("select a[1:2], b := 3", &[]),
        ("select a[b:c], a[f(1):2], a['x' :y], a[:n]", &["n"]),
        ("grant role sys:dba to role aad:x", &[]),
        ("grant role \"sys\":dba to role \"aad:x\"", &[]),
        ("select a:b.c, and:d, t$:e", &[]),
        ("select case when:a then(:b)else-:c end", &["b", "c"]),
        ("select :1, :2nd", &["1", "2nd"]),
    ];
    for (sql, expected) in cases {
        let found: Vec<String> =
            split(sql).unwrap().into_iter().flat_map(|statement| statement.placeholders.into_keys()).collect();
        assert_eq!(found, *expected, "{sql}");
        let mut named = placeholders(sql);
        named.sort_unstable();
        named.dedup();
        assert_eq!(named, *expected, "{sql}");
    }
}

#[test]
fn placeholders_are_listed_in_order_and_after_escaped_quotes() {
    assert_eq!(placeholders("select :b, :a, :b"), ["b", "a", "b"]);
    assert_eq!(placeholders(r"select 'it\'s :no', :yes"), ["yes"], "Redshift reads `\'` as a quote");
    assert_eq!(placeholders("select :a, 'open :b"), ["a"]);
}

#[test]
fn tokens_have_the_right_kinds() {
    use TokenKind::{
        Close, Comment, Dot, Literal, Number, Open, Other, Placeholder, QuotedIdentifier, Semicolon, Space, Word,
    };
    let cases: &[(&str, &[TokenKind])] = &[
        ("t1.c", &[Word, Dot, Word]),
        ("1.5", &[Number]),
        ("1e6;", &[Number, Semicolon]),
        ("1.", &[Number, Dot]),
        ("(-12)", &[Open, Other, Number, Close]),
        ("\"a\"\"b\"", &[QuotedIdentifier]),
        ("x'y'", &[Word, Literal]),
        ("E'y'$$z$$", &[Literal, Literal]),
        (":a::b", &[Placeholder, Other, Word]),
        ("/* a /* b */ */--c\n", &[Comment, Comment, Space]),
    ];
    for (sql, expected) in cases {
        let kinds: Vec<TokenKind> = Lexer::new(sql).map(|token| token.unwrap().kind).collect();
        assert_eq!(kinds, *expected, "{sql}");
    }
}

#[test]
fn a_statement_has_the_line_of_its_first_word() {
    let lines: Vec<u32> = split("-- one\nselect 1;\n\n/* two\n */ select\n2;\nselect 'a\nb'; select 3")
        .unwrap()
        .iter()
        .map(|s| s.line)
        .collect();
    assert_eq!(lines, [2, 5, 7, 8]);
}

#[test]
fn problems_name_their_line() {
    let wrong = |sql: &str| split(sql).unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            "select 1;\nselect 'abc",
            "select 1;\n\nselect \"abc",
            "select 1; /* a /* b */",
            "select 1;\nselect $x$ abc $y$",
            "select 1;\nselect 'C:\\'",
            "select 1;\n  \\if :ACTIVITYCOUNT > 0\nselect 2;",
        ]
        .map(wrong)
        .join("\n")
    );
}

#[test]
fn characters_of_a_statement_have_the_position_that_they_have_in_the_script() {
    let script = "-- ä\n  select 1; /* é */ select\n  'ü', :day;\n\tselect :day";
    let statements = split(script).unwrap();
    for (n, searched, line, column) in
        [(0, "select", 2, 3), (0, "1", 2, 10), (1, "select", 2, 21), (1, ":day", 3, 8), (2, ":day", 4, 9)]
    {
        let at = statements[n].text.find(searched).unwrap();
        assert_eq!(statements[n].position(at), Position { line, column }, "{searched}");
    }
    assert_eq!((statements[1].line, statements[1].column), (2, 21));
    assert_eq!(statements[1].placeholders["day"], Position { line: 3, column: 8 });
}

/// Random scripts made of SQL tokens, many of them almost valid.
fn scripts() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("select 1"),
        Just(";"),
        Just("\n"),
        Just(" "),
        Just("'"),
        Just("''"),
        Just("\""),
        Just("--"),
        Just("/*"),
        Just("*/"),
        Just("$$"),
        Just("$a$"),
        Just("$"),
        Just(":p"),
        Just("::"),
        Just("\\"),
        Just("E'"),
        Just("ä"),
        Just("\r\n"),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Returns true if splitting the text gives the same text as its only statement.
fn is_one_statement(text: &str) -> bool {
    split(text).is_ok_and(|again| again.len() == 1 && again[0].text == text)
}

proptest! {
    #[test]
    fn any_text_is_split_or_refused(text in any::<String>()) {
        if let Ok(statements) = split(&text) {
            for statement in statements {
                prop_assert!(is_one_statement(&statement.text), "{:?}", statement.text);
            }
        }
    }

    #[test]
    fn statements_follow_the_text_and_only_whitespace_and_comments_are_dropped(text in scripts()) {
        if let Ok(statements) = split(&text) {
            let mut rest = text.as_str();
            for statement in &statements {
                let at = rest.find(&statement.text).expect("a statement is a part of the text");
                let between = &rest[..at];
                prop_assert!(split(between).is_ok_and(|none| none.is_empty()), "{between:?} was dropped");
                rest = &rest[at + statement.text.len()..];
                prop_assert!(is_one_statement(&statement.text), "{:?}", statement.text);
            }
            prop_assert!(split(rest).is_ok_and(|none| none.is_empty()), "{rest:?} was dropped");
        }
    }

    #[test]
    fn joined_statements_are_split_again(parts in prop::collection::vec("[a-z]{1,5}( '[^'\\\\]{0,5}')?( :[a-z]{1,3})?", 1..6)) {
        let joined = parts.join(" ;\n");
        prop_assert_eq!(texts(&joined), parts);
    }

    /// The text inside literals, dollar quotes, quoted identifiers and comments neither ends a statement nor names a placeholder.
    #[test]
    fn enclosed_text_is_never_split(text in scripts()) {
        for enclosed in [
            format!("select {}", quote_literal(&text)),
            format!("select {}", quoted(&text)),
            format!("select $body$ {text} $body$"),
            format!("select 1 -- {}\n, 2", text.replace('\n', " ")),
            format!("select 1 /* {} */, 2", text.replace(['/', '*'], "")),
        ] {
            prop_assert!(is_one_statement(&enclosed), "{enclosed:?}");
            prop_assert_eq!(placeholders(&enclosed), Vec::<&str>::new());
        }
    }

    #[test]
    fn tokens_are_adjacent(text in scripts()) {
        for lexer in [Lexer::new(&text), Lexer::as_redshift(&text)] {
            let mut at = 0;
            for token in lexer.map_while(Result::ok) {
                prop_assert_eq!(token.start, at);
                prop_assert!(token.end > at);
                at = token.end;
            }
        }
    }

    #[test]
    fn placeholder_names_are_valid_parameter_names(
text in "[ :a1'\"$/*\\-\\\\\\]\n;é]{0,60}") {
        for name in placeholders(&text) {
            prop_assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        }
    }
}
