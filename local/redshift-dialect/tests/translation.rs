//! Translated texts, refusals, and invariants of the translation.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use proptest::prelude::*;
use redshift_dialect::{CopyFormat, InTransaction, JsonShape, RefusalKind, Step, UnloadFormat, translate};

fn sql(statement: &str) -> String {
    let translated = translate(statement, &["a", "b"]).unwrap_or_else(|refusal| panic!("{statement}: {refusal}"));
    match &translated.steps[..] {
        [Step::Sql(sql)] => sql.clone(),
        steps => panic!("{statement}: {steps:?}"),
    }
}

#[test]
fn equivalent_syntax() {
    for (redshift, postgres) in [
        ("select :a::int, :b, :a", "select $1::integer, $2, $1"),
        ("select ':a' /* :b ' */ -- :c\n, 1", "select ':a' /* :b ' */ -- :c\n, 1"),
        ("select \"Mixed\" from \"Case\".T x", "select \"mixed\" from \"case\".\"t\" \"x\""),
        ("select a from #tmp", "select a from \"#tmp\""),
        ("select 1 minus select 2", "select 1 EXCEPT select 2"),
        ("select sysdate", "select redshift.sysdate()"),
        ("select f_mine(nvl(x, 'y'))", "select f_mine(coalesce(x, 'y'))"),
        (
            "create table t (a int, b varchar, c varchar(max))",
            "CREATE TABLE \"t\" (\"a\" integer, \"b\" varchar(256) CHECK (octet_length(\"b\") <= 256), \"c\" varchar(65535) CHECK (octet_length(\"c\") <= 65535))",
        ),
        (
            "grant select on all tables in schema s to group g, role r, u",
            "GRANT SELECT ON ALL TABLES IN SCHEMA \"s\" TO \"g\", \"r\", \"u\"",
        ),
        ("select set_config('search_path', 'staging', false)", "select set_config('search_path', 'staging', false)"),
        ("select SET_CONFIG('query_group', :a, true)", "select ($1)::text"),
        ("select pg_cancel_backend(802)", "select pg_cancel_backend(802)"),
        ("select pg_terminate_backend(802)", "select pg_terminate_backend(802)"),
        ("call s.p(:a, 1)", "CALL \"s\".\"p\"($1, 1)"),
    ] {
        assert_eq!(sql(redshift), postgres, "{redshift}");
    }
}

#[test]
fn super_paths_require_a_visible_table_and_exclude_schemas() {
    assert_eq!(sql("select s.t.c from s.t"), "select s.t.c from \"s\".\"t\"");
    assert_eq!(sql("select x.c.d from t x"), "select redshift.get(x.c, 'd'::text) from \"t\" \"x\"");
    assert_eq!(sql("select c.d from t"), "select redshift.get(c, 'd'::text) from \"t\"");
    assert_eq!(
        sql("select 1 from t where exists (select 1 from u where u.id = t.id and t.doc.a = 1)"),
        "select 1 from \"t\" where exists (select 1 from \"u\" where u.id = t.id and redshift.get(t.doc, 'a'::text) = 1)"
    );
}

#[test]
fn constructs_that_redshift_rejects_are_rejected() {
    for (statement, construct) in [
        ("insert into t values (1) on conflict do nothing", "ON CONFLICT"),
        ("insert into t values (1) returning id", "RETURNING"),
        ("update t set a = 1 returning a", "RETURNING"),
        ("delete from t as x where x.a = 1", "alias"),
        ("delete from t x using u where x.a = u.a", "alias"),
        ("create index i on t (a)", "CREATE INDEX"),
        ("create table t (a serial)", "SERIAL"),
        ("create table t (a jsonb)", "JSONB"),
        ("create table t (a text[])", "[]"),
        ("create table t (a uuid)", "UUID"),
        ("create table t (a int check (a > 0))", "CHECK"),
        ("create table t (a int generated always as (b * 2) stored)", "GENERATED"),
        ("create table t (tag int)", "tag"),
        ("create table t (a varchar(65536))", "VARCHAR"),
        ("create table t (a decimal(39, 2))", "DECIMAL"),
        ("create type mood as enum ('a')", "CREATE TYPE"),
        ("create trigger x after insert on t execute function f()", "CREATE TRIGGER"),
        ("create sequence s", "CREATE SEQUENCE"),
        ("select count(*) filter (where a > 1) from t", "FILTER"),
        ("select * from t, lateral (select 1) x", "LATERAL"),
        ("select distinct on (a) a from t", "DISTINCT ON"),
        ("select array[1, 2]", "ARRAY"),
        ("select a -> 'b' from t", "->"),
        ("select a @> 'b' from t", "@>"),
        ("select a::jsonb from t", "JSONB"),
        ("select string_agg(a, ',') from t", "string_agg"),
        ("select array_agg(a) from t", "array_agg"),
        ("select gen_random_uuid()", "gen_random_uuid"),
        ("select * from generate_series(1, 3)", "generate_series"),
        ("select * from (values (1)) v", "VALUES"),
        ("select a from t for update", "FOR UPDATE"),
        ("select a from t fetch first 1 row only", "FETCH"),
        ("select a is distinct from b from t", "DISTINCT FROM"),
        ("select sum(a) over (order by b) from t", "SUM"),
        ("select sum(a) over (order by b range unbounded preceding) from t", "RANGE"),
        ("select tag from t", "tag"),
        ("select 1 intersect all select 1", "INTERSECT ALL"),
        ("with x as (delete from t) select 1", "DELETE"),
        ("merge into t using (select 1) s on t.a = s.a when matched then delete", "subquery"),
        ("merge into t using s on t.a = s.a when matched and s.b then delete", "MATCHED"),
        ("alter table t alter column a type int", "ALTER COLUMN TYPE"),
        ("alter table t add column a int not null", "NOT NULL"),
        ("alter table t set schema s", "SET SCHEMA"),
        ("truncate a, b", ","),
        ("create function f(int) returns trigger stable as $$ select 1 $$ language sql", "TRIGGER"),
        ("do $$ begin end $$", "DO"),
        ("create schema s create table t (a int)", "objects"),
        ("copy t from stdin", "STDIN"),
        ("copy t from 's3://b/k' iam_role default format parquet noload", "NOLOAD argument is not supported"),
        ("copy t from 's3://b/k' iam_role default gzip format as parquet", "GZIP argument is not supported"),
        ("copy t from 's3://b/k' region 'eu-west-1' iam_role default parquet", "REGION argument is not supported"),
        ("copy t from 's3://b/k' iam_role default csv parquet", "PARQUET"),
        ("unload ('select 1 limit 1') to 's3://b/p' iam_role default", "LIMIT"),
        (
            "create procedure p() as $$ begin insert into t values (1) on conflict do nothing; end $$ language plpgsql",
            "ON CONFLICT",
        ),
        ("create procedure p() as $$ begin execute 'create index i on t (a)'; end $$ language plpgsql", "CREATE INDEX"),
    ] {
        let refusal = translate(statement, &[]).expect_err(statement);
        assert_eq!(refusal.kind, RefusalKind::NotRedshift, "{statement}: {refusal}");
        assert!(refusal.to_string().contains(construct), "{statement}: {refusal}");
    }
}

#[test]
fn unsupported_constructs_are_rejected_by_name() {
    for (statement, construct) in [
        ("create external schema s from data catalog", "EXTERNAL"),
        ("create table t (g geometry)", "GEOMETRY"),
        ("create table t (h hllsketch)", "HLLSKETCH"),
        ("select * from t pivot (sum(a) for b in (1))", "PIVOT"),
        ("select lag(a) ignore nulls over (order by a) from t", "IGNORE NULLS"),
        ("create view v as select 1 from t with no schema binding", "NO SCHEMA BINDING"),
        ("create function f(int) returns int stable as $$ return 1 $$ language plpythonu", "plpythonu"),
        ("copy t from 's3://b/k' iam_role default bzip2", "BZIP2"),
        ("copy t from 's3://b/k' iam_role default format orc", "ORC"),
        ("select set_config('enable_case_sensitive_identifier', 'true', false)", "SET_CONFIG"),
        ("set enable_case_sensitive_identifier to true", "enable_case_sensitive_identifier"),
        ("create procedure p() nonatomic as $$ begin null; end $$ language plpgsql", "NONATOMIC"),
        ("create procedure p(q varchar) as $$ begin execute q; end $$ language plpgsql", "EXECUTE of a variable"),
    ] {
        let refusal = translate(statement, &[]).expect_err(statement);
        assert_eq!(refusal.kind, RefusalKind::NotTranslated, "{statement}: {refusal}");
        assert!(refusal.to_string().contains(construct), "{statement}: {refusal}");
    }
}

#[test]
fn a_refusal_has_a_position() {
    let refusal = translate("select a,\n  array[1]", &[]).unwrap_err();
    assert_eq!((refusal.line, refusal.column), (2, 3), "{refusal}");
    let inside =
        translate("create procedure p() as $$\nbegin\n  select array[1];\nend $$ language plpgsql", &[]).unwrap_err();
    assert_eq!(inside.line, 3, "{inside}");
}

#[test]
fn parameters_must_be_known_and_only_one_statement_is_allowed() {
    assert_eq!(translate("select :missing", &["a"]).unwrap_err().kind, RefusalKind::Syntax);
    assert_eq!(translate("select 1; select 2", &[]).unwrap_err().kind, RefusalKind::Syntax);
    assert!(translate("select 1;", &[]).is_ok());
}

#[test]
fn commits_and_transactions() {
    let flags = |statement: &str| {
        let t = translate(statement, &[]).unwrap();
        (t.command, t.commits, t.in_transaction == InTransaction::Refused, t.returns_rows)
    };
    assert_eq!(flags("truncate t"), ("TRUNCATE", true, false, false));
    assert_eq!(flags("alter table t append from s filltarget"), ("ALTER TABLE APPEND", true, true, false));
    assert_eq!(flags("vacuum delete only t to 75 percent"), ("VACUUM", false, true, false));
    assert_eq!(flags("select 1"), ("SELECT", false, false, true));
}

#[test]
fn copy_options_reach_the_spec() {
    let t = translate(
        "copy s.t (a, B) from 's3://b/k' iam_role 'arn:aws:iam::0:role/r' format as csv delimiter ';' quote as '%' ignoreheader 1 gzip \
         null as '\\\\N' emptyasnull dateformat 'auto' timeformat as 'epochsecs' acceptinvchars as '^' maxerror 5 compupdate off statupdate on region 'eu-west-1'",
        &[],
    )
    .unwrap();
    let [Step::Copy(spec)] = &t.steps[..] else { panic!("{t:?}") };
    assert_eq!((spec.table.join("."), spec.columns.join(",")), ("s.t".to_owned(), "a,b".to_owned()));
    assert!(matches!(&spec.format, CopyFormat::Csv(csv) if csv.delimiter == ';' && csv.quote == '%'));
    assert_eq!((spec.ignore_header, spec.max_error, spec.accept_inv_chars), (1, 5, Some('^')));
    assert_eq!((spec.null_as.as_str(), spec.empty_as_null), ("\\N", true));
    let json = translate("copy t from 's3://b/k' iam_role default json 'auto ignorecase'", &[]).unwrap();
    assert!(
        matches!(&json.steps[..], [Step::Copy(spec)] if spec.format == CopyFormat::Json(JsonShape::AutoIgnoreCase))
    );
}

#[test]
fn unload_translates_its_query() {
    let t = translate(
        "unload ('select nvl(a, \\'x\\') from t where b = ''y''') to 's3://b/p/' iam_role default csv header zstd parallel off \
         allowoverwrite maxfilesize 100 mb manifest verbose extension 'csv.zst'",
        &[],
    )
    .unwrap();
    let [Step::Unload(spec)] = &t.steps[..] else { panic!("{t:?}") };
    assert_eq!(spec.query, "select coalesce(a, 'x') from \"t\" where b = 'y'");
    assert_eq!(spec.format, UnloadFormat::Csv { delimiter: ',' });
    assert!(spec.header && !spec.parallel && spec.allow_overwrite && spec.manifest_verbose);
    assert_eq!(spec.max_file_size, 100 * 1024 * 1024);
}

const WORDS: [&str; 48] = [
    "select",
    "from",
    "where",
    "t",
    "a",
    "b",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "'x'",
    "1",
    "::",
    "int",
    "super",
    ":a",
    "create",
    "table",
    "as",
    "with",
    "insert",
    "into",
    "values",
    "update",
    "set",
    "delete",
    "using",
    "merge",
    "when",
    "matched",
    "then",
    "case",
    "end",
    "over",
    "order",
    "by",
    "listagg",
    "dateadd",
    "decode",
    "qualify",
    "top",
    "join",
    "on",
    "copy",
    "procedure",
    "$$begin null; end$$",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_input_panics(text in "\\PC{0,80}") {
        let _ = translate(&text, &["a"]);
    }

    #[test]
    fn no_run_of_words_panics(words in proptest::collection::vec(proptest::sample::select(&WORDS[..]), 0..24), start in 0..8_usize) {
        let start = ["select a from t", "create table", "merge into t using s on", "copy t from 's3://b'", "insert into t", "update t set", "create procedure p()", ""][start];
        let _ = translate(&format!("{start} {}", words.join(" ")), &["a"]);
    }

    #[test]
    fn quoted_text_and_comments_are_kept(text in "[ -~]{0,30}") {
        let inner = text.replace(['\'', '\\', '$', '"'], "");
        // A comment delimiter inside the text would start or end a comment.
        prop_assume!(!inner.contains("/*") && !inner.contains("*/"));
        let statement = format!("select '{inner}', $${inner}$$ /* {inner} */ from t -- {inner}\n where a = 1");
        let out = sql(&statement);
        let (quoted, dollars, block, line) = (format!("'{inner}'"), format!("$${inner}$$"), format!("/* {inner} */"), format!("-- {inner}\n"));
        for kept in [quoted, dollars, block, line] {
            prop_assert!(out.contains(&kept), "{out} lost {kept}");
        }
    }
}

#[test]
fn qualify_before_from_is_rejected() {
    for sql in ["select a qualify from t", "select . [] qualify from t", "qualify from t"] {
        assert!(redshift_dialect::translate(sql, &[]).is_err(), "{sql}");
    }
}
