//! The splitter, over a table of what SQL can look like and over any text at all.

use proptest::prelude::*;
use shiftwork_planner::sql::{batches, quote_identifier, quote_literal, split};
use shiftwork_protocol::Transaction;

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
fn placeholders_are_names_behind_a_colon_outside_of_texts() {
    let cases: &[(&str, &[&str])] = &[
        ("select :day", &["day"]),
        ("select :day, :day, :a_1", &["a_1", "day"]),
        ("select a::date, :day::date", &["day"]),
        ("select ':day', \":day\", $$:day$$ -- :day\n/* :day */", &[]),
        ("select 1 where a >:day", &["day"]),
        ("select a[1:2], b := 3", &[]),
    ];
    for (sql, expected) in cases {
        let found: Vec<String> = split(sql).unwrap().into_iter().flat_map(|statement| statement.placeholders).collect();
        assert_eq!(found, *expected, "{sql}");
    }
}

#[test]
fn a_statement_knows_the_line_of_its_first_word() {
    let lines: Vec<u32> = split("-- one\nselect 1;\n\n/* two\n */ select\n2;\nselect 'a\nb'; select 3")
        .unwrap()
        .iter()
        .map(|s| s.line)
        .collect();
    assert_eq!(lines, [2, 5, 7, 8]);
}

#[test]
fn what_cannot_be_split_is_said_with_its_line() {
    let wrong = |sql: &str| split(sql).unwrap_err().to_string();
    insta::assert_snapshot!(
        [
            "select 1;\nselect 'abc",
            "select 1;\n\nselect \"abc",
            "select 1; /* a /* b */",
            "select 1;\nselect $x$ abc $y$",
            "select 1;\nselect 'it\\'s'",
            "select 1;\n  \\if :ACTIVITYCOUNT > 0\nselect 2;",
        ]
        .map(wrong)
        .join("\n")
    );
}

#[test]
fn statements_that_commit_one_by_one_go_in_parts_of_forty() {
    let sizes =
        |n, transaction| batches(n, transaction).iter().map(|b| (b.part, b.statements.len())).collect::<Vec<_>>();
    assert_eq!(sizes(0, Transaction::Single), []);
    assert_eq!(sizes(40, Transaction::Single), [(1, 40)]);
    assert_eq!(sizes(40, Transaction::PerStatement), [(1, 40)]);
    assert_eq!(sizes(81, Transaction::PerStatement), [(1, 40), (2, 40), (3, 1)]);
}

#[test]
fn identifiers_and_texts_are_quoted() {
    assert_eq!(quote_identifier("a\"b").unwrap(), "\"a\"\"b\"");
    assert!(quote_identifier("").is_err());
    assert!(quote_identifier("a\0").is_err());
    assert!(quote_identifier(&"ä".repeat(64)).is_err());
    assert!(quote_identifier(&"a".repeat(127)).is_ok());
    assert_eq!(quote_literal("it's; \"x\""), "'it''s; \"x\"'");
    assert_eq!(quote_literal(r"\d"), r"$$\d$$");
    assert_eq!(quote_literal(r"\d$$"), r"$q$\d$$$q$");
    assert_eq!(quote_literal(r"\d$"), r"$q$\d$$q$");
}

/// Pieces that SQL is made of, so that random texts are often almost right.
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

/// Cutting a statement again gives the statement: nothing in it ends it.
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
    fn statements_are_the_text_in_order_and_the_rest_is_blank_or_comment(text in scripts()) {
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

    #[test]
    fn a_quoted_text_is_one_literal_whatever_is_in_it(text in any::<String>()) {
        let sql = format!("select {}", quote_literal(&text));
        prop_assert_eq!(texts(&sql), vec![sql.clone()]);
        prop_assert!(split(&sql).is_ok_and(|s| s[0].placeholders.is_empty()));
    }

    #[test]
    fn every_statement_is_in_exactly_one_batch(n in 0_usize..500) {
        for transaction in [Transaction::Single, Transaction::PerStatement] {
            let all: Vec<usize> = batches(n, transaction).into_iter().flat_map(|batch| batch.statements).collect();
            prop_assert_eq!(all, (0..n).collect::<Vec<_>>());
        }
    }
}
