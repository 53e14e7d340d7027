use super::*;

/// Statements in forms that Redshift accepts, one a line.
const VALID: &str = include_str!("valid.sql");
/// The statements with which the tests of the other parser begin.
const DOCUMENTED: &str = include_str!("../../../../local/redshift-dialect/tests/documented.sql");

#[test]
fn valid_statements_have_no_findings() {
    let statements: Vec<_> = VALID.lines().chain(DOCUMENTED.lines()).filter(|line| !line.starts_with("--")).collect();
    assert!(statements.len() > 400, "{}", statements.len());
    let wrong = statements.iter().filter_map(|statement| Some(format!("{statement}\n    {:?}", check(statement)?)));
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), statements.len(), wrong.join("\n"));
}

/// The statement, the text at the error, its byte offset, and the keyword that is probably meant.
#[test]
fn a_syntax_error_has_its_place() {
    let mut wrong = Vec::new();
    for (statement, found, at, meant) in [
        ("select 1 from", "end of input", 13, None),
        ("select 1 from -- the table", "end of input", 13, None),
        ("select a, from t", "\"from\"", 10, None),
        ("select a,, b from t", "\",\"", 9, None),
        ("select * from t where", "end of input", 21, None),
        ("select * from t limit", "end of input", 21, None),
        ("update t set where a = 1", "\"a\"", 19, None),
        ("insert into t select * form s", "\"s\"", 28, Some("from")),
        ("select count(*) frm t", "\"t\"", 20, Some("from")),
        ("select * from t group x", "\"group\"", 16, None),
        ("select * from t order x", "\"order\"", 16, None),
        ("select * from t wher a = 1", "\"a\"", 21, Some("where")),
        ("select * from t limt 5", "\"5\"", 21, Some("limit")),
        ("delete form t", "\"t\"", 12, Some("from")),
        ("update t sett a = 1", "\"a\"", 14, Some("set")),
        ("insert into t value (1)", "\"value\"", 14, Some("values")),
        ("insert t values (1)", "\"t\"", 7, None),
        ("merge t using s on t.id = s.id remove duplicates", "\"t\"", 6, None),
        ("select * from orders where", "end of input", 26, None),
        ("select * from orders group x", "\"group\"", 21, None),
        ("select a + from t", "\"from\"", 11, None),
        ("select * a from t", "\"a\"", 9, None),
        ("select a from t join u where t.a = u.a", "\"where\"", 23, None),
        ("update t set a = 'ü', b", "end of input", 24, None),
        ("select 'ü', :a, from \"ü\"", "\"from\"", 17, None),
        ("select 'a\nb',\n\n  from t", "\"from\"", 17, None),
        ("unload ('select a, from t where b = ''x''') to 's3://b/x'", "\"from\"", 19, None),
        ("unload ('select a from t where b = ''x'' group x') to 's3://b/x'", "\"group\"", 41, None),
        ("unload ('select * form t') to 's3://b/x'", "\"t\"", 23, Some("from")),
        (
            "create procedure p() as $$ begin if a then delete t where; end if; end $$ language plpgsql",
            "end of input",
            57,
            None,
        ),
    ] {
        let error = check(statement);
        let place = error.as_ref().map(|error| (error.found.as_str(), error.offset, error.meant));
        if place != Some((found, at, meant)) {
            wrong.push(format!("{statement}: {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_statement_has_a_finding() {
    let statements = [
        "select",
        "select a from t where a =",
        "select a from t where a = 1 and",
        "select a from t where and a = 1",
        "select a from t wher a = 1",
        "select a from t where a in (1, 2,)",
        "select a b c from t",
        "select a from t u v",
        "select a from t,",
        "select a from t join",
        "select a from t group by",
        "select a from t order by a,",
        "select a from t order by a desk",
        "select a from t having by a",
        "select case when a then 1 from t",
        "select cast(a int) from t",
        "select a from (select b from u where) x",
        "select a from t union",
        "with x as (select 1) , select a from x",
        "with x as (select 1 from) select a from x",
        "create table t as select a, from u",
        "create view v as select a from t where with no schema binding",
        "create materialized view v auto refresh yes as select a form t",
        "insert into t (a, b values (1, 2)",
        "insert into t (a, b) values (1, 2",
        "insert into t (a, b) values (1,, 2)",
        "insert into t (a,) values (1)",
        "insert t values (1)",
        "update t set a = 1, where b = 2",
        "update t set a 1",
        "delete from t where",
        "delete from where a = 1",
        "delete from t wheer a = 1",
        "merge into t using s on t.id = s.id when matched then update st a = 1 when not matched then insert values (1)",
        "merge into t using s on t.id = s.id when matched the delete",
        "merge in t using s on t.id = s.id remove duplicates",
        "explain select a, from t",
        "create procedure p() as $$ begin select a, from t; end; $$ language plpgsql",
        "declare c cursor for select a, from t",
        "select sum(a over (partition by b) from t",
        "select sum(a) over (partition b) from t",
        "select a from t where b betwen 1 and 2",
        "select a from t left joint u on t.a = u.a",
        "select a from t join u where t.a = u.a",
        "select a from t inner join u",
        "insert into t",
        "insert into values (1)",
        "update set a = 1",
        "update t a = 1",
        "select a from t where a = 1 where b = 2",
        "select a from t order by a where b = 1",
        "select a from t group by a where b = 1",
        "select a from where a = 1",
        "select a as from t",
        "select a from t as",
        "select distinct from t",
        "select a from t limit 10 20",
        "select a + from t",
        "select a b, c d e from t",
        "select * a from t",
        "select count(* from t",
        "select count(*)) from t",
        "with x (select 1) select a from x",
        "with x as select 1 select a from x",
    ];
    let accepted: Vec<_> = statements.into_iter().filter(|statement| check(statement).is_none()).collect();
    assert!(accepted.is_empty(), "{accepted:#?}");
}

#[test]
fn what_is_not_read_has_no_findings() {
    let long = format!("select {} from", "a + ".repeat(40_000));
    let statements = [
        "",
        "-- nothing",
        "copy t from 's3://b/x' iam_role default csv",
        "create table t (a int)",
        "call p(1)",
        "'",
        "select array(select 1), a operator(pg_catalog.+) b from t",
        &long,
    ];
    for statement in statements {
        assert_eq!(check(statement), None, "{statement:.40}");
    }
    // The longest chain of operators that the Data API takes.
    assert_eq!(check(&format!("select {}a from t", "a + ".repeat(25_000))), None);
}

#[test]
fn text_that_is_not_sql_is_replaced_in_its_place() {
    for (statement, wanted) in [
        ("select 'it''s', e'a\\'b' -- c\nfrom t", "select 'xxxxx', 'xxxxx'     \nfrom t"),
        ("select $$a\nb$$, :day, :d from #t, a # b", "select 'xx\nxx', 'xx', '' from #t, a + b"),
        ("select \"a'b\" /* 'x' */ from \"ü\"", "select \"a'b\"           from \"ü\""),
    ] {
        assert_eq!(plain(statement).as_deref(), Some(wanted), "{statement}");
    }
}
