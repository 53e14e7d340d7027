//! Tests of statements that begin, end or do not allow a transaction.

#![allow(clippy::unwrap_used, reason = "tests panic on unexpected results")]

use shiftwork_sql::{Statement, TransactionControl, split, without_outer_transaction};

fn one(sql: &str) -> Statement {
    let mut statements = split(sql).unwrap();
    assert_eq!(statements.len(), 1, "{sql}");
    statements.remove(0)
}

#[test]
fn transaction_control_is_recognized() {
    use TransactionControl::{Begin, Commit, Rollback, Unknown};
    for (sql, expected) in [
        ("begin", Some(Begin { is_default: true })),
        ("BEGIN WORK", Some(Begin { is_default: true })),
        ("-- comment\nbegin transaction isolation level serializable", Some(Begin { is_default: true })),
        ("start transaction read write, isolation level read committed", Some(Begin { is_default: true })),
        ("begin read only", Some(Begin { is_default: false })),
        ("begin now", Some(Unknown)),
        ("commit", Some(Commit)),
        ("end transaction", Some(Commit)),
        ("commit work", Some(Commit)),
        ("commit and chain", Some(Unknown)),
        ("rollback work", Some(Rollback)),
        ("abort", Some(Rollback)),
        ("select 1 as begin", None),
        ("start", None),
        ("\"begin\"", None),
    ] {
        assert_eq!(one(sql).transaction_control(), expected, "{sql}");
    }
}

#[test]
fn only_a_pair_around_the_whole_script_is_removed() {
    let cases: &[(&str, &[&str])] = &[
        ("begin; select 1; select 2; commit;", &["select 1", "select 2"]),
        ("/* a */ begin transaction;\nselect 1;\nend -- b", &["select 1"]),
        ("start transaction; select 1; end work", &["select 1"]),
        ("begin; commit", &[]),
        ("begin; select 1", &["begin", "select 1"]),
        ("select 1; commit", &["select 1", "commit"]),
        ("begin; select 1; rollback", &["begin", "select 1", "rollback"]),
        ("begin; select 1; abort", &["begin", "select 1", "abort"]),
        ("begin read only; select 1; commit", &["begin read only", "select 1", "commit"]),
        ("begin; select 1; commit; select 2", &["begin", "select 1", "commit", "select 2"]),
        (
            "begin; select 1; commit; begin; select 2; commit",
            &["begin", "select 1", "commit", "begin", "select 2", "commit"],
        ),
        ("begin; begin; select 1; commit", &["begin", "begin", "select 1", "commit"]),
        ("commit; select 1; begin", &["commit", "select 1", "begin"]),
        ("begin", &["begin"]),
        ("select 1", &["select 1"]),
    ];
    for (sql, expected) in cases {
        let texts: Vec<_> = without_outer_transaction(split(sql).unwrap()).into_iter().map(|one| one.text).collect();
        let texts: Vec<_> =
            texts.iter().map(|text| text.trim_start_matches("/* a */ ").trim_end_matches(" -- b")).collect();
        assert_eq!(texts, *expected, "{sql}");
    }
}

#[test]
fn statements_that_redshift_refuses_in_a_transaction_are_recognized() {
    for (sql, expected) in [
        ("vacuum t to 75 percent", Some("VACUUM")),
        ("create database d", Some("CREATE DATABASE")),
        ("drop database d", Some("DROP DATABASE")),
        ("create external table s.t (a int)", Some("CREATE EXTERNAL TABLE")),
        ("drop external table s.t", Some("DROP EXTERNAL TABLE")),
        ("create or replace library f language plpythonu from 's3://b/f.zip'", Some("CREATE LIBRARY")),
        ("drop library f", Some("DROP LIBRARY")),
        ("alter table \"a b\".c append from d", Some("ALTER TABLE … APPEND")),
        ("alter table a.b.c alter column d type varchar(20)", Some("ALTER TABLE … ALTER COLUMN … TYPE")),
        ("alter table c alter column type type varchar(20)", Some("ALTER TABLE … ALTER COLUMN … TYPE")),
        ("alter table c alter \"d e\" type varchar(20)", Some("ALTER TABLE … ALTER COLUMN … TYPE")),
        (
            "alter table s.t add if not exists partition (d = '2026-03-01') location 's3://b/'",
            Some("ALTER TABLE … ADD PARTITION"),
        ),
        ("alter table s.t drop partition (d = '2026-03-01')", Some("ALTER TABLE … DROP PARTITION")),
        ("alter table s.t partition (d = 1) set location 's3://b/'", Some("ALTER TABLE … PARTITION … SET LOCATION")),
        ("alter table s.t set location 's3://b/'", Some("ALTER TABLE … SET LOCATION")),
        ("alter table s.t set file format parquet", Some("ALTER TABLE … SET FILE FORMAT")),
        ("alter table s.t set table properties ('numRows'='1')", Some("ALTER TABLE … SET TABLE PROPERTIES")),
        ("alter external table s.t rename to u", Some("ALTER EXTERNAL TABLE")),
        (
            "create external schema s from data catalog database 'd' iam_role default create external database if not exists",
            Some("CREATE EXTERNAL SCHEMA … CREATE EXTERNAL DATABASE"),
        ),
        ("grant select (a, b, c, d, e, f, g) on external table s.t to iam_role 'arn'", Some("GRANT … ON EXTERNAL")),
        ("revoke all on external schema s from iam_role 'arn'", Some("REVOKE … ON EXTERNAL")),
        ("create external schema s from data catalog database 'd' iam_role default", None),
        ("alter table c add column append int", None),
        ("alter table c add column partition int", None),
        ("alter table c alter column d encode zstd", None),
        ("alter table c alter distkey d", None),
        ("alter table type rename column type to kind", None),
        ("grant select on table external to bob", None),
        ("grant usage on schema s to bob", None),
        ("create table database (vacuum int)", None),
        ("select 'vacuum', \"vacuum\" from vacuum", None),
        ("drop table t", None),
    ] {
        assert_eq!(one(sql).refused_in_transaction(), expected, "{sql}");
    }
}

#[test]
fn statements_that_depend_on_external_tables_name_their_schemas() {
    type Refused<'a> = Option<(&'a str, &'a [&'a str])>;
    let cases: &[(&str, Refused)] = &[
        ("alter table s.t rename to u", Some(("ALTER TABLE … RENAME", &["S"]))),
        ("alter table d.\"s\".t rename column a to b", Some(("ALTER TABLE … RENAME", &["S"]))),
        ("alter table s.t add column a int", Some(("ALTER TABLE", &["S"]))),
        ("alter table t add column a int", Some(("ALTER TABLE", &[]))),
        ("drop table if exists s.t, r.t", Some(("DROP TABLE", &["S", "R"]))),
        (
            "drop schema s, r drop external database cascade",
            Some(("DROP SCHEMA … DROP EXTERNAL DATABASE", &["S", "R"])),
        ),
        ("insert into s.t select 1", Some(("INSERT", &["S"]))),
        ("insert into d.\"s\".t (a, b) values (1, 2)", Some(("INSERT", &["S"]))),
        ("insert into t select * from s.u", Some(("INSERT", &[]))),
        ("grant usage on schema s, r to bob", Some(("GRANT", &["S", "R"]))),
        ("grant select on all tables in schema s to group g", Some(("GRANT", &["S"]))),
        ("grant select (a, b) on table s.t, r.u to bob", Some(("GRANT", &["S", "R"]))),
        ("grant select, insert on s.t to role x", Some(("GRANT", &["S"]))),
        ("grant select on s.model to bob", Some(("GRANT", &["S"]))),
        ("grant select on model to bob", Some(("GRANT", &[]))),
        ("revoke grant option for select on s.t from bob", Some(("REVOKE", &["S"]))),
        ("revoke all on schema s from public", Some(("REVOKE", &["S"]))),
        ("grant execute on function s.f(int) to bob", None),
        ("grant execute on all procedures in schema s to bob", None),
        ("grant usage on database s to bob", None),
        ("grant role s to bob", None),
        ("drop schema s cascade", None),
        ("drop view s.t", None),
        ("select 1", None),
    ];
    for (sql, expected) in cases {
        let found = one(sql).refused_for_external_tables();
        let found = found
            .as_ref()
            .map(|(construct, schemas)| (*construct, schemas.iter().map(String::as_str).collect::<Vec<_>>()));
        assert_eq!(found, expected.map(|(construct, schemas)| (construct, schemas.to_vec())), "{sql}");
    }
    assert_eq!(one("create external schema if not exists s from data catalog").external_schema().as_deref(), Some("S"));
    assert_eq!(one("create external table \"s\".t (a int)").external_schema().as_deref(), Some("S"));
    assert_eq!(one("create schema s").external_schema(), None);
}

#[test]
fn the_opening_of_a_statement_is_its_first_words() {
    for (sql, opening) in [
        ("vacuum t to 75 percent", "VACUUM"),
        ("start transaction", "START TRANSACTION"),
        ("alter table \"a b\".c append from d", "ALTER TABLE"),
        ("begin", "BEGIN"),
        ("(select 1)", ""),
    ] {
        assert_eq!(one(sql).opening(), opening, "{sql}");
    }
}
