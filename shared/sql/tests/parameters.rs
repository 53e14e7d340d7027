//! Tests of parameters that the Data API does not bind.

use shiftwork_sql::{Unboundable, split, unbound};

/// The unbound parameters of a statement: as written, and the cause. `day` and `n` are parameters of the run.
fn found(sql: &str) -> Vec<(String, Unboundable)> {
    let statements = split(sql).unwrap_or_else(|problem| panic!("{sql}: {problem}"));
    let is_parameter = |name: &str| matches!(name, "day" | "n");
    let all = statements.iter().flat_map(|statement| unbound(statement, &is_parameter));
    all.map(|unbound| (unbound.written, unbound.cause)).collect()
}

#[test]
fn parameters_that_are_bound_are_not_reported() {
    for sql in [
        "select * from t where d = :day and n in (:n, -:n) limit :n",
        "insert into t values (:day::date, cast(:n as int))",
        "update t set d = :day where n = :n",
        "delete from t where d = :day",
        "merge into t using s on t.a = s.a when matched then update set d = :day when not matched then insert values (:n)",
        "call load.orders(:day)",
        "create table t as select :day as d",
        "create temp table t (a) as select :n",
        "select extract(year from :day), trim('x' from :day), substring(:day from 1)",
        "select a is distinct from :day",
        "select (select :n)",
        "select a[:n]",
        "select 'HH24:MI:SS', ':other', '12:n', 'a::day', '{other}', '{ day'",
        "select a @> b, @ a, a <@b, a$1",
        "grant role sys:dba to role aad:x",
        "create function f(int) returns int immutable as $$ select $1 + 1 $$ language sql",
        "prepare p (int) as select * from t where a = $1; execute p(1)",
        "select flags &n, 5 &n, (a) &n, a[1]&n, flags & n, a %(n), 10 %(n), a %n",
        "select 'https://x?a=1&n=2&day=3', 'R&n', '&n;', '%n%', '%(n)', '$other', '&other', '{{ other }}', '%(other)s'",
        "select $other$ x $other$, :'other', :\"other\", %(other)s, 'n', \"day\"",
        "create procedure p() as $n$ begin x := flags &n; end $n$ language plpgsql",
        "-- :day $1 ?\nselect 1",
    ] {
        assert_eq!(found(sql), [], "{sql}");
    }
}

#[test]
fn parameters_that_are_not_bound_are_reported_with_the_cause() {
    use Unboundable::{InsideWord, ObjectName, OtherForm, Quoted, UnloadQuery};
    let command = |words: &str| Unboundable::Command(words.to_owned());
    let typed = |word: &str| Unboundable::TypedLiteral(word.to_owned());
    let cases: &[(&str, &[(&str, Unboundable)])] = &[
        ("copy t from :day iam_role default", &[(":day", command("COPY"))]),
        ("set query_group to :day", &[(":day", command("SET"))]),
        ("create view v as select :day", &[(":day", command("CREATE VIEW"))]),
        ("alter table t add column a int default :n", &[(":n", command("ALTER TABLE"))]),
        ("unload ('select 1') to :day iam_role default", &[(":day", command("UNLOAD"))]),
        ("unload ('select * from t where d = :other') to 's3://b/'", &[(":other", UnloadQuery)]),
        ("unload ('select '':day'' where d = :day') to 's3://b/{day}/'", &[(":day", UnloadQuery), ("{day}", Quoted)]),
        ("unload ($$select :day$$) to 's3://b/'", &[(":day", UnloadQuery)]),
        ("select * from :day", &[(":day", ObjectName)]),
        ("select * from s.:day", &[(":day", ObjectName)]),
        ("select * from (select 1 from :day) x join :n on true", &[(":day", ObjectName), (":n", ObjectName)]),
        ("insert into :day select 1", &[(":day", ObjectName)]),
        ("call :day(1)", &[(":day", ObjectName)]),
        ("select date :day, interval :n", &[(":day", typed("DATE")), (":n", typed("INTERVAL"))]),
        ("select * from t where d = ':day'", &[(":day", Quoted)]),
        ("select 's3://b/{day}/' || 'x :n'", &[("{day}", Quoted), (":n", Quoted)]),
        ("select \":day\" from t", &[(":day", Quoted)]),
        ("create procedure p() as $$ begin delete from t where d = :day; end $$ language plpgsql", &[(":day", Quoted)]),
        ("select * from t_:day", &[("t_:day", InsideWord)]),
        ("select 1 where a between:day and:n", &[("between:day", InsideWord), ("and:n", InsideWord)]),
        ("select $1, @id, ?", &[("$1", OtherForm), ("@id", OtherForm), ("?", OtherForm)]),
        ("select {a}, ${b}, {{ c }}", &[("{a}", OtherForm), ("${b}", OtherForm), ("{{ c }}", OtherForm)]),
        ("select :'day', :\"n\"", &[(":'day'", OtherForm), (":\"n\"", OtherForm)]),
        ("select a from t_$n where d = $day", &[("$day", OtherForm)]),
        ("select &n from t where a =&n or b = (&n)", &[("&n", OtherForm), ("&n", OtherForm), ("&n", OtherForm)]),
        ("select * from t where d = %(day)s limit %(n)d", &[("%(day)s", OtherForm), ("%(n)d", OtherForm)]),
        ("select '{{ day }}', '{{n}}'", &[("{{ day }}", Quoted), ("{{n}}", Quoted)]),
        (
            "select '%(day)s', 'x$day/', '${n}', '&n'",
            &[("%(day)s", Quoted), ("$day", Quoted), ("${n}", Quoted), ("&n", Quoted)],
        ),
        ("prepare p (int) as select '$n', ?", &[("$n", Quoted), ("?", OtherForm)]),
        (
            "create procedure p() as $$ begin delete from t where d = '$day' and '${n}'; end $$ language plpgsql",
            &[("$day", Quoted), ("${n}", Quoted)],
        ),
    ];
    for (sql, expected) in cases {
        let expected: Vec<_> = expected.iter().map(|(written, cause)| ((*written).to_owned(), cause.clone())).collect();
        assert_eq!(found(sql), expected, "{sql}");
    }
}

#[test]
fn an_unbound_parameter_has_its_position_in_the_script() {
    let statements = split("select 1;\n  copy t\n  from 's3://b/ä/' region :day").unwrap();
    let found = unbound(&statements[1], &|_| true);
    assert_eq!((found[0].position.line, found[0].position.column), (3, 27));
}
