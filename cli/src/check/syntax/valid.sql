-- Statements that Redshift accepts, in forms that other dialects do not have, and with names that are keywords elsewhere. One a line.
select sample, final, global, format, settings, cluster, semi, anti, window, match_condition, returning from t
select t.limit, t.end, t.order from t
select a value, b type, c name, d date, e year, f status, g location, i rank from t
select a from t sample
select a from t final join u asof on asof.a = final.a
select start.a from start where start.a = 1
select top 5 a from t
select top 5 distinct a from t
select exclude, within, include from t
select first, last, groups, row, rows, range, current, time, text, level, owner, position from t
select t.a from t as sample, u as format
select date, time, "timestamp", "interval" from t
select sets, grouping from t
select a, b from t, u where t.a = u.a(+)
select a from t, u where t.a (+) = u.a and t.b = u.b (+)
select @ -5, |/ 25, ||/ 27, ~ 1, 5 # 3, a#b, 2 ^ 3, 7 % 2, 1 << 2, 8 >> 1, a & b, a | b from t
select a || b || 'c' from t
select a from t where a ~ 'x' and a ~* 'x' and a !~ 'x' and a !~* 'x' and a ~~ 'x' and a !~~ 'x'
select a from t where a like 'x!_%' escape '!' and a not ilike '%y%' and b not similar to '(x|y)%'
select a from t where (a, b) in ((1, 2), (3, 4)) and (c, d) = (1, 2)
select a from t where a is not null and b is not true and c is unknown and d isnull and e notnull
select a from t where not (a = 1) and not exists (select 1 from u)
select a from t where a >= all (select b from u) or a = some (select b from u)
select a from t where a != 1 or a <> 2
select approximate count(distinct a), approximate percentile_disc(0.5) within group (order by a) from t
select count(distinct a), count(all a), sum(distinct a + b) from t
select listagg(a, ', ') within group (order by b desc) over (partition by c) from t
select percentile_cont(0.5) within group (order by a) over (partition by b), median(a) over () from t
select first_value(a ignore nulls) over (order by b rows unbounded preceding), nth_value(a, 2) respect nulls over (order by b) from t
select last_value(a) over (partition by b order by c rows between 1 preceding and 1 following) from t
select sum(a) over (order by b rows between current row and unbounded following) from t
select lead(a, 1, 0) over (order by b nulls first), ntile(4) over (order by c asc) from t
select row_number() over (order by a) rn from t qualify rn = 1 order by a
select a, rank() over (partition by b order by c) r from t where d = 1 qualify r <= 3
select a from t qualify row_number() over (partition by a order by b desc) = 1
select a, sum(b) from t group by 1 having sum(b) > 0 order by 2 desc, a limit 10 offset 5
select a, b, count(*) from t group by rollup (a, b), cube (c), grouping sets ((a), (b), ())
select a, grouping(a), grouping_id(a, b) from t group by grouping sets (a, b, (a, b))
select a, count(*) from t group by all
select a from t limit all offset 1
select a from t offset 5
select distinct a from t order by a nulls last
select a from t union all select a from u union select a from v intersect select a from w except select a from x
select a from t minus select a from u minus select a from v order by 1
(select a from t) union (select a from u) order by a
(select a from t limit 1) union all (select a from u limit 1)
((select a from t))
select a from (select b from t union select c from u) x (a)
select a from (t join u on t.a = u.a) join v on v.a = u.a
select a from t inner join u using (a, b) left outer join v on v.a = t.a right join w on true full join x on x.a = t.a cross join y natural join z
select x.a, y.b from t x, lateral_view y
with a as (select 1 as x), b (y) as (select x from a) select y from b
with recursive n (i) as (select 1 union all select i + 1 from n where i < 10) select i from n
with a as (with b as (select 1 x) select x from b) select x from a
with x as (select 1 a) select a into temp y from x
select a into #x from t
select a into temporary table x from t where b = 1
select * from #x, "#y", s."#z"
select a, level from t start with a = 1 connect by prior a = b
select a, level from t connect by prior a = b start with a = 1
select * from (select a, b from t) pivot (sum(a) for b in ('x' as x, 'y' as y))
select * from (select a, b from t) pivot (sum(a) as total, count(a) as n for b in (1, 2)) as p
select * from t unpivot (v for n in (a, b, c))
select * from t unpivot include nulls (v for n in (a as 'x', b as 'y'))
select * exclude a from t
select * exclude (a, b), c from t
select t.* exclude (a), u.* from t, u
select attr, val from t, unpivot t.document as val at attr
select attr, val from t x, unpivot x.document.prices as val at attr where attr = 'a'
select i, item.name from t, t.document.items as item at i
select i from t x, x.items item at i, item.parts part at j where part = 1
select t.document.a.b[0].c, t.document."A b"[1], t.d['x'], t.items[0]['y'].z from t
select a[0], a[i + 1], (f(a)).b, f(a)[0].b from t
select document.n + 1, document.a::varchar, document.b[0]::int from t
select x.v from t left join t.items x on true
select o.a from t as c, c.items as o where c.items[0].a is not null
select array(1, 'a', null), object('a', 1, 'b', array(1)), json_parse('{"a": 1}').a from t
select object_transform(document keep '"a"' set '"b"', 1) from t
select a::int, a::varchar(10), a::decimal(10, 2), a::timestamp, a::timestamptz, a::super, a::varbyte(10), a::geometry, a::bool from t
select a::double precision, a::character varying(10), a::character varying, a::timestamp without time zone, a::timestamp with time zone from t
select a::time with time zone, a::time without time zone, a::char(3), a::bpchar, a::nvarchar(5), a::nchar(5), a::float8, a::int8, a::text from t
select cast(a as varchar(max)), cast(a as super), cast(a as double precision), try_cast(a as date), convert(varchar(10), a), convert(timestamp, a) from t
select date '2026-01-01', timestamp '2026-01-01 00:00:00', time '10:00', timestamptz '2026-01-01 00:00:00+00', timetz '10:00+01' from t
select interval '1 day', interval '3' day, interval '1 12:00' day to second, interval '2-3' year to month, interval '1.5' hour, interval '2' months from t
select interval '3' day (2), interval '1' second (3), '1 day'::interval, a + interval '1 hour' - interval '5 minutes' from t
select d + interval '1 year 2 months', dateadd(day, 1, d), datediff(week, a, b), dateadd('month', 1, d) from t
select extract(year from d), extract(epoch from d), extract(dow from d), extract(timezone from d), extract(ms from t), extract('week' from d) from t
select extract(millennium from d), extract(qtr from d), extract(dayofweek from d), extract(weekday from d), extract(yearday from d), extract(us from d) from t
select date_part(dow, d), date_part('epoch', d), date_trunc('month', d), to_char(d, 'YYYY'), trunc(d), trunc(1.5, 0) from t
select a at time zone 'UTC', a at time zone 'UTC' at time zone 'Europe/Berlin', (a at time zone 'UTC')::date from t
select trim(a), trim(both 'x' from a), trim(leading from a), trim(trailing ' ' from a), btrim(a, 'x'), substring(a, 1, 2), substring(a from 1 for 2) from t
select position('a' in b), strpos(a, 'b'), charindex('a', b), overlay(a placing 'x' from 1 for 2), left(a, 2), right(a, 2), replace(a, 'b', 'c') from t
select case when a then 1 else 2 end, case a when 1 then 'x' when 2 then 'y' end as y, case when a = 1 then case when b = 2 then 3 end end from t
select coalesce(a, b), nvl(a, b), nvl2(a, b, c), nullif(a, b), greatest(a, b), least(a, b), decode(a, 1, 'x', 'y') from t
select current_date, current_timestamp, sysdate, getdate(), localtime, localtimestamp, user, current_user, session_user, current_user_id from t
select true, false, null, 1, -1, +1, 1.5, .5, 5., 1e5, 1.5e-3, 'it''s', 'it\'s', e'a\nb', $$x$$, $t$y$t$ from t
select '\\', 'a' from t where b = '\'' or c = '--' or d = '/*'
select a as "b", a "b", "A b"."c d", "a""b" from "My Schema"."My Table" "x y"
select a from dev.public.t, "dev"."public"."t" u
select a from t -- a comment, with a quote: '
select /* a /* nested */ comment */ a from t
select a from t where d = :run_date and b in (:a, :b) and c like :pattern and e between :from_day and :to_day limit :n
select dateadd(day, -1, :run_date::date), cast(:a as int), :n from t
select generate_series(1, 10), f(), s.f(1) from t
select a from f(1) x, generate_series(1, 10) as g (i), s.f('a') y
select * from svv_table_info where "table" = 't' and "schema" = 'public'
select a from t where a in (select b from u where u.c = t.c) and a not in (1)
select (select max(b) from u) m, exists (select 1 from u), (a + b) * c, -(a), not a, a is null, a = 1 or b = 2 from t
select a collate case_insensitive from t order by b collate case_sensitive
select max(a) keep, min(a) as "end" from t
select national, public, "system" from t
select ratio_to_report(a) over (partition by b), percent_rank() over (order by a), cume_dist() over (order by a), dense_rank() over (order by a desc) from t
select st_distance(a, b), h3_fromlonglat(1, 2, 3), hll_cardinality(hll_create_sketch(a)), sha2(a, 256), fnv_hash(a) from t
select json_extract_path_text(a, 'b', 'c', true), json_extract_array_element_text(a, 0), is_valid_json(a), json_serialize(a) from t
select a.b.c.d from s.t a
insert into t values (1, 'a', null, default, getdate(), (select 1), :a)
insert into t (a, "b", date, value, type) values (1, 2, 3, 4, 5), (1, 2, 3, 4, 5)
insert into t (a, b) (select a, b from u)
insert into t (select * from u)
insert into s.t select * from u where a = 1 union all select * from v
insert into t (a) with x as (select 1 a) select a from x
insert into #t select a from u
insert into t default values
update t set a = 1, b = default, c = c + 1, "d" = null where e = 2
update t set a = u.b from u where t.c = u.c
update s.t as x set a = 1 from u join v on u.a = v.a where x.a = u.a
update t x set a = (select max(b) from u) where exists (select 1 from u)
with x as (select 1 a) update t set a = x.a from x where t.b = x.a
delete from t
delete t
delete s.t where a = 1
delete from s.t using u, v where t.a = u.a and u.b = v.b
delete t using u where t.a = u.a
delete from t where a in (select a from u)
delete from #t where a = :a
with x as (select 1 a) delete from t using x where t.a = x.a
merge into t using s on t.id = s.id when matched then update set a = s.a, b = default when not matched then insert (id, a) values (s.id, s.a)
merge into t using (select * from s where b = 1) s on t.id = s.id when matched then delete when not matched then insert values (s.id)
merge into s.t using u as x on s.t.id = x.id and t.b = x.b remove duplicates
create table t as select a, b from u
create table if not exists t as (select a from u)
create table t (a, b) diststyle key distkey (a) compound sortkey (a, b) as select a, b from u where c = 1
create temp table #t backup no as with x as (select 1 a) select a from x
create local temp table t as select top 5 a from u
create external table s.t stored as parquet location 's3://b/' as select * from u
create external table s.t partitioned by (d) row format delimited fields terminated by ',' stored as textfile location 's3://b/' as select a, d from u
create view v as select a from t
create or replace view s.v (a, b) as select a, b from t with no schema binding
create view v as with x as (select 1 a) select a from x with no schema binding
create materialized view v backup no diststyle all sortkey (a) auto refresh yes as select a, count(*) n from t group by a
create materialized view v auto refresh yes as select approximate_arrival_timestamp, partition_key, json_parse(kinesis_data) as data from s."stream" where can_json_parse(kinesis_data)
create view v as (select a from t)
explain select a from t
explain verbose insert into t select a from u
explain delete t where a = 1
declare c cursor for select a from t order by a
declare c no scroll cursor for with x as (select 1 a) select a from x
prepare p (int, varchar) as select a from t where b = $1 and c = $2
prepare p as delete from t
create procedure p(n out int) as $$ declare c int; begin select into c count(*) from t; select count(*) into n from t; if n > 1 then insert into u select a from t where a = n; elsif n = 0 then delete from u using t where u.a = t.a; else update t set a = n; end if; for r in select a from t loop execute 'drop table ' || quote_ident(r.a); end loop; while n > 0 loop n := n - 1; end loop; exception when others then insert into log values (sqlerrm); raise exception 'x %', n; end; $$ language plpgsql
create or replace procedure p(a int, b refcursor) language plpgsql nonatomic as $body$ begin open b for select * from t where id = a; perform f(a); call q(a); commit; truncate t; fetch b into c; return; end $body$
create function f(int, int) returns int stable as $$ select case when $1 > $2 then $1 else $2 end $$ language sql
create function f(a int) returns varchar stable as $$ if a > 1: select = 'a,'; return select $$ language plpythonu
unload ('select a, ''it''''s'', $$x$$ from t where b = '''' and c like ''%\\_%''') to 's3://b/x' iam_role default parquet
unload ('select * from t where d = \'2026-01-01\'') to 's3://b/x' iam_role default
unload ($$select a from t where b = 'x' limit 5$$) to 's3://b/x' iam_role default
create function f(int) returns int stable as $$ select $1 $$ language sql
select a from t order by random() limit 10
select a from t where a between dateadd(day, -7, current_date) and current_date and b between symmetric_a and c
select count(*) from (select distinct a, b from t)
select a from (select b from t), (select c from u) x
select sum(case when a = 1 then b else 0 end)::decimal(18, 2) / nullif(count(*), 0) as ratio from t
select split_part(a, ',', 1)::int, len(a::varchar), (a || b)::varchar(20), -a::int from t
select a from t where a % 2 = 0 and a::date = '2026-01-01'::date and (a > 1) = true
select a::int * b, case when a then 1 end * b, current_date - b, null * a, t.b * c, count(*) * d, 5 * a, (a) * b, a[0] * b from t
select a from t where a::int isnull or case when a then 1 end notnull or isnull(a, b) = 1
select a from s.order o join s.limit l on o.where = l.from and o.a + l.order > 0
select t.*, u.* from t, u
select *, a from t
select count(*) n, t.* from t
select a from t join (select b from u join v on u.b = v.b) x on x.b = t.a, w
select a from t join u join v on u.b = v.b on t.a = u.a
select a from t natural left outer join u cross join v natural join w natural full join x where a = 1
select a from t join u using (a), v join w on true order by a
select decode(a.typtype, 'b', 'base')::varchar(1) as "type", '-'::char(1), (select count(*) from u)::int, pg_catalog.format_type(a.atttypid, a.atttypmod) as t from pg_attribute a join pg_catalog.pg_class as c on a.attrelid = c.oid left join pg_description d on (d.objoid = a.attrelid and d.objsubid = a.attnum) where a.attnum > 0 and not a.attisdropped
select * from stl_query q, (select query, sum(rows) as s from stl_scan group by query) as s where q.query = s.query and q.starttime >= getdate() - interval '1 hour' order by s.s desc limit 20
select case when regexp_instr(a, '^[0-9]+$') > 0 then a::bigint else null end as x, trunc(datediff(seconds, a, b)/60.0, 2) from t
select nvl(s.num_qs,0) qps, round(100.0*sum(case when x='t' then 1 else 0 end)/count(1)::float, 2) as "pct" from t group by 1, 2 having count(1) > 1
select dense_rank() over (partition by a, b order by sum(c) desc nulls last rows between unbounded preceding and current row) from t group by a, b
select i.i_item_id, avg(ss_quantity) agg1 from store_sales, item i where ss_item_sk = i_item_sk and d_date between cast('2000-01-01' as date) and (cast('2000-01-01' as date) + interval '30 day') group by rollup (i_item_id, s_state) order by 1 limit 100
with ws as (select d_year as ws_sold_year, sum(x) ws_qty from a left join b on c = d and e = f where g is null group by d_year, h), cs as (select 1) select coalesce(ws_qty,0) + coalesce(cs_qty,0), round(ss_qty/(coalesce(ws_qty,0)+coalesce(cs_qty,0)),2) ratio from ss left join ws on (ws_sold_year=ss_sold_year and ws_item_sk=ss_item_sk) where (coalesce(ws_qty,0)>0 or coalesce(cs_qty, 0)>0) order by ss_sold_year desc
select cc_call_center_id from (select * from x) as "s", lateral_x where (("a" = 'x') or ('y' = "b")) and ((a like 'Unknown%') or (b not like '%x'))
insert into target select distinct s.* from staging s left join target t on s.id = t.id where t.id is null
delete from target using staging s where target.id = s.id and s.op in ('D', 'U')
update target set name = s.name, updated_at = sysdate, total = target.total + s.total from staging s where target.id = s.id
merge into target using (select * from staging where rn = 1) as s on target.id = s.id and target.day = s.day when matched then update set name = s.name, at = current_timestamp when not matched then insert (id, name) values (s.id, s.name)
select count(*) from t where d = '2026-01-01'::date and ts::time between '10:00' and '11:00' and extract(hour from ts)::int % 2 = 0
select date_trunc('week', d)::date as week, date(ts) as day, trunc(ts) from t
select to_char(d, 'YYYY-MM') as month, sum(amount) filter_amount from t group by month order by month
select timestamp 'epoch' + seconds * interval '1 second' as at from t
select a, b from t where (a, b) not in (select a, b from u) and exists (select * from v where v.a = t.a limit 1)
select '2026-01-01'::timestamptz at time zone 'Europe/Berlin', convert_timezone('UTC', ts)::date from t
select nullif(trim(a), '') as a, replace(b, chr(10), ' ') b, strtol(c, 16)::int, a || coalesce(' ' || b, '') from t
select json_extract_path_text(payload, 'a', 'b')::decimal(10,2) as x, payload.items[0].price::float, payload."Items"[1]."Price" from t
select c.name, o.id from customers c, c.orders o, o.lines l where l.qty > 1 and o.id is not null
select max(case when k = 'a' then v end) as a, min(v) keep_v from t group by id
create table s.t diststyle key distkey (a) sortkey (b) as (with x as (select 1 as a, 2 as b) select * from x)
create table if not exists #stage as select top 0 * from t
create materialized view s.mv diststyle even auto refresh yes as select date_trunc('day', ts) as day, count(*) as n from s.events where kind <> 'x' group by 1
create or replace view s.v as select 1 as one union all select 2 with no schema binding
select pg_get_viewdef('v'), current_setting('timezone'), has_schema_privilege(u.usename, n.nspname, 'usage') from pg_user u cross join pg_namespace n where u.usesysid > 1 and nspname !~ '^pg_'
select a, sum(b) over (partition by a order by c rows 2 preceding), lag(b) over (order by c) - b diff, first_value(b) ignore nulls over (order by c rows between unbounded preceding and unbounded following) from t
select listagg(distinct a, ', ') within group (order by a) over (partition by b) as l, approximate count(distinct a) as n, percentile_cont(0.5) within group (order by a) as m from t group by b
select sum(b) as total, a as "select", 'x' as from_x from t where "group" = 1 and t."order" = 2
select grouping(a, b), a, b from t group by a, rollup(b), cube(c)
select a, (b + c) * (d - e) / nullif(f, 0)::float, -g, +h, - (i), not j, (a, b) from t
select distinct a, b from t union select a, b from u order by 1, 2 limit 3
select a from t where b = (select max(b) from t) and c > all (select c from u) and d <= any (select d from v)
select current_date - 1, current_date - interval '1 month', dateadd(month, -1, current_date)::date, last_day(current_date) from t
