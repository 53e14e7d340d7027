//! The translation does not translate every statement, but it does not call a documented statement wrong.

use redshift_dialect::{RefusalKind, translate};

const DOCUMENTED: &str = include_str!("documented.sql");

#[test]
fn documented_statements_are_translated_or_known_to_be_valid() {
    let statements: Vec<_> = DOCUMENTED.lines().filter(|line| !line.starts_with("--")).collect();
    assert!(statements.len() > 250, "{}", statements.len());
    let wrong: Vec<_> = statements
        .into_iter()
        .filter_map(|statement| Some((statement, translate(statement, &[]).err()?)))
        .filter(|(_, refusal)| refusal.kind != RefusalKind::NotTranslated)
        .map(|(statement, refusal)| format!("{statement}\n    {refusal}"))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn text_that_is_not_sql_is_malformed() {
    for text in
        ["selec 1", "from t select 1", "select (1", "select 1)", "select [1)", "select 'a", "select \"a", "/* a"]
    {
        let refusal = translate(text, &[]).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::Malformed, "{text}: {refusal}");
    }
    for text in ["select from where", "insert t values (1)", "create nothing", "select 1 from t wher a = 1 order"] {
        let refusal = translate(text, &[]).map(|translated| translated.command);
        assert!(
            refusal.as_ref().err().is_none_or(|refusal| refusal.kind != RefusalKind::Malformed),
            "{text}: {refusal:?}"
        );
    }
}
