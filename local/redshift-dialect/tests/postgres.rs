//! Results of translated SQL on a real PostgreSQL 18, whose URL is in `SHIFTWORK_PG_URL`.

#![allow(clippy::unwrap_used, reason = "a panic fails the test")]

use redshift_dialect::{PRELUDE, Step, translate};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// A connection with a separate schema and the prelude. Panics if `SHIFTWORK_PG_URL` is not set.
async fn client(schema: &str) -> Client {
    let url = std::env::var("SHIFTWORK_PG_URL").unwrap_or_else(|_| {
        panic!(
            "SHIFTWORK_PG_URL is not set, and this test needs the local stack. Run `make test`, or \
             `make up-test && . target/local-test/env` before `cargo test`"
        )
    });
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    // Tests run concurrently; the lock prevents them from running the prelude at the same time.
    client.batch_execute("SELECT pg_advisory_lock(42)").await.unwrap();
    client.batch_execute(PRELUDE).await.unwrap();
    client.batch_execute(PRELUDE).await.expect("the prelude can be run again");
    client.batch_execute("SELECT pg_advisory_unlock(42)").await.unwrap();
    client
        .batch_execute(&format!("DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}; SET search_path TO {schema}; SET timezone TO 'UTC'"))
        .await
        .unwrap();
    client
}

/// Runs a Redshift statement; returns rows as text with `|` between columns and `,` between rows.
async fn run(client: &Client, sql: &str) -> Result<String, String> {
    let translated = translate(sql, &[]).map_err(|refusal| format!("{sql}: {refusal}"))?;
    let mut rows = Vec::new();
    for step in &translated.steps {
        let Step::Sql(text) = step else { return Err(format!("{sql}: no SQL")) };
        for message in client.simple_query(text).await.map_err(|e| {
            format!(
                "{sql}\n  → {text}\n  → {}",
                e.as_db_error().map_or_else(|| e.to_string(), |e| e.message().to_owned())
            )
        })? {
            if let SimpleQueryMessage::Row(row) = message {
                rows.push(
                    (0..row.len()).map(|i| row.get(i).unwrap_or("NULL").to_owned()).collect::<Vec<_>>().join("|"),
                );
            }
        }
    }
    Ok(rows.join(","))
}

async fn all(schema: &str, cases: &[(&str, &str)]) {
    let client = client(schema).await;
    let mut wrong = Vec::new();
    for (sql, expected) in cases {
        match run(&client, sql).await {
            Ok(found) if found == *expected => {}
            Ok(found) => wrong.push(format!("{sql}\n  expected {expected}\n  found    {found}")),
            Err(error) => wrong.push(error),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn date_functions_count_boundaries_and_keep_types() {
    all(
        "t_dates",
        &[
            ("select datediff(hour, '2024-01-01 10:59:00', '2024-01-01 11:01:00')", "1"),
            ("select datediff(day, '2024-01-01 23:59:59', '2024-01-02 00:00:00')", "1"),
            ("select datediff(qtr, '1998-07-01', current_date) > 0", "t"),
            ("select datediff(year, date '2023-12-31', date '2024-01-01')", "1"),
            ("select datediff(month, '2024-01-31', '2023-12-01')", "-1"),
            ("select datediff(week, '2009-01-01', '2009-12-31')", "52"),
            ("select datediff(ms, '2024-01-01 00:00:00.001', '2024-01-01 00:00:00.004')", "3"),
            ("select dateadd(month, 1, '2008-01-31')", "2008-02-29 00:00:00"),
            ("select dateadd(month, 1, date '2008-04-30')", "2008-05-30 00:00:00"),
            ("select dateadd('qtr', -1, timestamp '2024-05-01 12:00:00')", "2024-02-01 12:00:00"),
            ("select add_months('2008-04-30'::date, 1)", "2008-05-31 00:00:00"),
            ("select date_trunc('week', date '2024-05-01')", "2024-04-29 00:00:00"),
            ("select extract(qtr from date '2024-05-01'), date_part(dow, '2024-05-05')", "2|0"),
            ("select last_day(date '2024-02-03'), trunc(timestamp '2024-02-03 04:05:06')", "2024-02-29|2024-02-03"),
            ("select months_between(date '1969-01-18', date '1969-03-18')", "-2"),
            (
                "select convert_timezone('UTC', 'America/New_York', '2024-07-01 12:00:00'::timestamp)",
                "2024-07-01 08:00:00",
            ),
            ("select next_day(date '2014-08-20', 'Tuesday')", "2014-08-26"),
            ("select getdate() <= sysdate + interval '1 minute'", "t"),
        ],
    )
    .await;
}

#[tokio::test]
async fn scalars() {
    all(
        "t_scalars",
        &[
            ("select nvl(null, 'a'), nvl2(null, 1, 2), decode(2, 1, 'one', 2, 'two', 'many')", "a|2|two"),
            ("select decode(null, null, 'same', 'other')", "same"),
            ("select concat('a', null), concat('a', 'b')", "NULL|ab"),
            (
                "select charindex('dog', 'fish dog'), len('café'), strtol('abcd1234', 16), strtol('-ff', 16)",
                "6|4|2882343476|-255",
            ),
            ("select 'a\\\\b', 'it\\'s', 'line\\nbreak' = 'line' || chr(10) || 'break'", "a\\b|it's|t"),
            (
                "select regexp_replace('a1b22', '[0-9]+'), regexp_substr('abc', 'z') = '', regexp_count('abcabc', 'b')",
                "ab|t|2",
            ),
            ("select regexp_replace('a@b.com', '@(.*)$', ' at $1')", "a at b.com"),
            (
                "select func_sha1('Amazon Redshift'), sha2('', 224)",
                "eeac5ed1e11cda66032c30ad77b25071b5487f55|d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f",
            ),
            (
                "select sha1('abc'), crc32('Amazon Redshift'), md5('Amazon Redshift')",
                "a9993e364706816aba3e25717850c26c9cd0d89d|f2726906|f7415e33f972c03abd4f3fed36748f7a",
            ),
            ("select fnv_hash('Amazon Redshift'), fnv_hash(1)", "7783490368944507294|-5968735742475085980"),
            ("select 1.7::decimal, round(2.345::float8, 2), cast('12' as int)", "2|2.35|12"),
            ("select convert(int, '5'), 5::varchar, 'abcdef'::varchar(3)", "5|5|abc"),
        ],
    )
    .await;
}

#[tokio::test]
async fn aggregates_and_windows() {
    all(
        "t_aggregates",
        &[
            ("create table t (g int, v int, s varchar(10)) diststyle key distkey (g) sortkey (v)", ""),
            ("insert into t values (1, 1, 'b'), (1, 2, 'a'), (2, 10, 'c'), (2, null, null)", ""),
            ("select avg(v) from t", "4"),
            ("select avg(v::bigint), avg(v::float8) > 4.3 from t", "4|t"),
            ("select g, listagg(s, '+') within group (order by s) from t group by g order by 1", "1|a+b,2|c"),
            ("select listagg(distinct v, ',') within group (order by v desc) from t", "10,2,1"),
            ("select v, listagg(s) within group (order by s) over (partition by g) from t where g = 1 order by v", "1|ab,2|ab"),
            ("select median(v), approximate count(distinct g) from t", "2|2"),
            ("select v, ratio_to_report(v) over (partition by g) from t where g = 2 and v > 0", "10|1"),
            ("select top 1 v from t order by v", "1"),
            ("select g, v from t where v is not null qualify row_number() over (partition by g order by v desc) = 1 order by g", "1|2,2|10"),
            ("select g, row_number() over (partition by g order by v) as n from t qualify n = 1 order by g", "1|1,2|1"),
            ("select v from t minus select 1 order by 1", "2,10,NULL"),
            ("select sum(v) over (partition by g order by v rows unbounded preceding) from t where g = 1 order by v", "1,3"),
        ],
    )
    .await;
}

#[tokio::test]
async fn super_values() {
    all(
        "t_super",
        &[
            ("create table c (id int, doc super)", ""),
            (r#"insert into c select 1, json_parse('{"a": {"b": [10, {"c": "x"}]}, "items": [{"n": 1}, {"n": 2}], "ok": true, "name": "Ann"}')"#, ""),
            ("select doc.a.b[0], c.doc.a.b[1].c, doc.missing.deeper, doc['name'] from c", "10|\"x\"|NULL|\"Ann\""),
            ("select c.doc.a.b[1].c::varchar, doc.a.b[0]::int + 1, doc.ok::boolean from c", "x|11|t"),
            ("select count(*) from c where doc.name = 'Ann' and c.doc.a.b[0] = 10 and c.doc.a.b[0] > 9.5", "1"),
            ("select count(*) from c where doc.name = 5", "0"),
            ("select c.id, i.n, i.n::int * 2 from c, c.doc.items as i order by 2", "1|1|2,1|2|4"),
            ("select i.n, at from c, c.doc.items i at at order by at", "1|0,2|1"),
            ("select '{\"a\":1}'::super, json_typeof('1'::super)", "\"{\\\"a\\\":1}\"|string"),
            ("select json_serialize(object('a', 1, 'b', array(1, 'x', null)))", "{\"a\":1,\"b\":[1,\"x\",null]}"),
            ("select k, json_serialize(v) from c, unpivot c.doc.a as v at k", "b|[10,{\"c\":\"x\"}]"),
            ("select count(*) from c, unpivot c.doc.items as v", "0"),
            ("select json_serialize(object_transform(json_parse('{\"A\": {\"b\": 1}, \"c\": 2}') set '\"A\".\"b\"', json_parse('null'), '\"d\"', 'x'))", "{\"A\":{\"b\":null},\"c\":2,\"d\":\"x\"}"),
            ("select json_size(json_parse('{\"a\": [1, 2]}'))", "11"),
            ("select json_parse('70000')::smallint, json_parse('\"2023-02-29\"')::date, json_parse('\"2024-02-29\"')::date", "NULL|NULL|2024-02-29"),
            ("select can_json_parse('{'), is_valid_json('{\"a\":1}'), is_valid_json('[1]')", "f|t|f"),
            (r#"select json_extract_path_text('{"a":{"b":"c"}}', 'a', 'b'), json_extract_array_element_text('[1,2]', 1)"#, "c|2"),
            ("select is_array(doc.items), is_object(doc.a), get_array_length(doc.items) from c", "t|t|2"),
            ("select doc.name, count(*) from c group by doc.name", "\"Ann\"|1"),
        ],
    )
    .await;
}

#[tokio::test]
async fn tables() {
    let client = client("t_tables").await;
    for sql in [
        "create table if not exists \"Sales\" (id bigint identity(1, 1) not null encode az64, ts timestamptz default sysdate, \
         note varchar(4) encode lzo, amount decimal(12, 2) default 0 null, primary key (id), foreign key (id) references x (y)) \
         backup no diststyle key distkey (id) compound sortkey (ts, id)",
        "insert into sales (note) values ('abcd')",
        "create temp table stage (like sales including defaults)",
        "create table #tmp distkey(id) as select id, note from sales",
        "insert into #tmp select * from #tmp",
        "alter table sales alter column note type varchar(8)",
        "insert into sales (note) values ('abcdefgh')",
        "alter table sales add column extra varchar(10) default 'x' encode zstd",
        "delete from sales using #tmp where sales.id = #tmp.id",
        "update sales set note = s.note from stage s where sales.id = s.id",
        "merge into sales using stage on sales.id = stage.id when matched then update set note = stage.note \
         when not matched then insert (note) values (stage.note)",
        "analyze sales predicate columns",
        "comment on column sales.note is 'it''s'",
        "begin",
        "lock sales",
        "commit",
        "truncate sales",
        "create view v as select nvl(note, 'none') n from sales",
        "drop table sales cascade",
    ] {
        run(&client, sql).await.unwrap();
    }
    let keys = "create table k (id int primary key, u varchar(3) unique)";
    run(&client, keys).await.unwrap();
    run(&client, "insert into k values (1, 'a'), (1, 'a')").await.expect("keys are not enforced");
    assert!(
        run(&client, "insert into k values (null, 'a')").await.unwrap_err().contains("null value"),
        "a primary key is NOT NULL"
    );
    assert!(
        run(&client, "insert into k values (2, 'éé')").await.unwrap_err().contains("check constraint"),
        "VARCHAR(3) holds three bytes"
    );
    assert!(
        run(&client, "alter table k alter column u type varchar(3)")
            .await
            .unwrap_err()
            .contains("size should be different")
    );
    assert!(
        run(&client, "alter table k alter column id type varchar(10)").await.unwrap_err().contains("only the size")
    );
}

#[tokio::test]
async fn procedures_run_their_translated_bodies() {
    let client = client("t_procedures").await;
    let procedure = r"
create or replace procedure load(run_date in date, result inout int, tbl varchar(20))
as $$
declare
  total int := 0;
  rec record;
  word varchar;
begin
  drop table if exists target;
  create table target (d timestamp, n int) distkey(n);
  for i in 1..3 loop
    insert into target values (dateadd(day, i, run_date), i);
  end loop;
  select into total nvl(sum(n), 0) from target;
  for rec in select n as value from target order by n loop
    if rec.value = 2 then
      word := decode(rec.value, 2, 'two', 'other');
      raise info 'found % and %', rec.value, word;
    elsif rec.value > 2 then
      null;
    else
      total := total + len('ab');
    end if;
  end loop;
  execute 'insert into ' || quote_ident(tbl) || ' select getdate(), nvl(null, 100)';
  execute 'delete from ' || tbl || ' where n = ' || 1;
  get diagnostics total := row_count;
  result := (select count(*) from target) + total;
exception when others then
  raise exception 'failed: %', sqlerrm;
end;
$$ language plpgsql security invoker;";
    run(&client, procedure).await.unwrap();
    assert_eq!(run(&client, "call load('2024-01-01', 0, 'target')").await.unwrap(), "4");
    assert_eq!(run(&client, "select max(n) from target").await.unwrap(), "100");
    run(
        &client,
        "create function f_plus (int, varchar) returns int stable as $$ select nvl($1, 0) + len($2) $$ language sql",
    )
    .await
    .unwrap();
    assert_eq!(run(&client, "select f_plus(null, 'abc')").await.unwrap(), "3");
    assert_eq!(run(&client, "drop procedure load(date, int, varchar)").await.unwrap(), "");
}

#[tokio::test]
async fn elt_statements_of_a_data_warehouse() {
    all(
        "t_warehouse",
        &[
            ("create table nation (n_nationkey int, n_name char(25))", ""),
            ("create table supplier (s_suppkey bigint, s_nationkey int, s_name varchar(25)) diststyle all", ""),
            ("create table lineitem (l_suppkey bigint, l_shipdate date, l_price decimal(12,2), l_disc numeric(4,2)) sortkey (l_shipdate)", ""),
            ("insert into nation values (1, 'FRANCE'), (2, 'PERU')", ""),
            ("insert into supplier values (10, 1, 'A'), (20, 2, 'B'), (30, null, 'C')", ""),
            ("insert into lineitem values (10, '2024-03-01', 100, 0.1), (10, '2023-03-01', 50, 0), (20, '2024-01-01', 7, 0)", ""),
            (
                "create table fact distkey (y) as with s as (select s.s_suppkey, trim(n.n_name) as nation from supplier s \
                 left join nation n on s.s_nationkey = n.n_nationkey and left(n.n_name, 1) <> 'X') \
                 select extract(year from l.l_shipdate) as y, coalesce(s.nation, 'none') as nation, \
                 sum(l.l_price * (1 - l.l_disc)) as amount from lineitem l right join s on l.l_suppkey = s.s_suppkey group by 1, 2",
                "",
            ),
            ("select * from fact order by y, nation", "2023|FRANCE|50.0000,2024|FRANCE|90.0000,2024|PERU|7.0000,NULL|none|NULL"),
            ("insert into fact (y, nation) (select 1, 'x' union all select 2, 'y')", ""),
            ("select count(*) from (select y from fact where y in (select 1 union select 2)) z", "2"),
            ("select case when y > 2000 then 'new' else 'old' end c, count(1) from fact group by c order by c", "new|3,old|3"),
            ("select a.y from fact a, fact b where a.y = b.y and a.nation = b.nation and b.y between 1 and 3 order by 1 limit 1", "1"),
            ("select schemaname, tablename, \"column\" from pg_table_def where tablename = 'fact' order by 3", "t_warehouse|fact|amount,t_warehouse|fact|nation,t_warehouse|fact|y"),
            ("select count(*) from stl_load_errors where filename = 's3://bucket/missing'", "0"),
        ],
    )
    .await;
}
