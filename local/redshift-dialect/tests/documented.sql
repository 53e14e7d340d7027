-- Statements in the forms that the SQL reference of Amazon Redshift documents, one a line.
select top 10 * from sales
select * from sales limit 10 offset 5
select a, row_number() over (partition by b order by c desc nulls last) rn from t qualify rn = 1
select * from t qualify row_number() over (partition by a order by b) = 1
select * from (select partname, price from part) pivot (avg(price) for partname in ('prop','rudder','wing'))
create or replace function f(float, float) returns float stable as $$ select case when $1 > $2 then $1 else $2 end $$ language sql
select * from (select red, green, blue from counts) unpivot (cnt for color in (red, green, blue))
select * exclude (a, b) from t
select * exclude a from t
select a, count(*) from t group by all
select a, b, sum(c) from t group by grouping sets ((a), (b), ())
select a, b, sum(c) from t group by rollup (a, b)
select a, b, sum(c) from t group by cube (a, b)
with recursive john_org(id, name, manager_id, level) as (select id, name, manager_id, 1 as level from employee where name = 'John' union all select e.id, e.name, e.manager_id, level + 1 from employee e, john_org j where e.manager_id = j.id and level < 4) select distinct id from john_org
select id, name from employee start with name = 'John' connect by prior id = manager_id
select listagg(distinct a, ',') within group (order by a) from t
select listagg(a) within group (order by b) over (partition by c) from t
select approximate count(distinct pricepaid) from sales
select approximate percentile_disc(0.5) within group (order by a) from t
select median(a) over (partition by b) from t
select percentile_cont(0.6) within group (order by a) from t
select ratio_to_report(a) over (partition by b) from t
select last_value(a ignore nulls) over (order by b rows between unbounded preceding and unbounded following) from t
select lag(a, 1) ignore nulls over (order by b) from t
select dateadd(month, 1, d), datediff(day, a, b), date_trunc('month', d), getdate(), sysdate, trunc(d), last_day(d), add_months(d, 1) from t
select convert_timezone('UTC', 'Europe/Berlin', ts) from t
select decode(a, 1, 'x', 2, 'y', 'z'), nvl(a, b), nvl2(a, b, c), coalesce(a, b), greatest(a, b), isnull(a, 0) from t
select json_extract_path_text(a, 'b', true), json_parse(a), is_valid_json(a), json_serialize(s), get_array_length(s), object(a, 1), array(1, 2) from t
select c.c_orders[0].o_orderkey, c."a b".c from customer c, c.c_orders o
select o.x from customer c left join c.orders o on true
select attr, val from t, unpivot t.payload as val at attr
select s::varchar, cast(a as int), convert(int, a), a::numeric(10,2), try_cast(a as int) from t
select 'a' || 'b', a % 2, a ^ 2, |/ 25, @ -5, a & 1, a << 2, a ~ '^x', a !~ 'x', a ilike '%x%', a similar to 'x|y' from t
select regexp_substr(a, 'x', 1, 1, 'p'), regexp_replace(a, 'x', 'y'), regexp_count(a, 'x'), split_part(a, ',', 1), strtol('ff', 16), charindex('a', b), len(a), left(a, 2), reverse(a), initcap(a), translate(a, 'b', 'c'), md5(a), sha2(a, 256), func_sha1(a), checksum(a), fnv_hash(a), quote_ident(a), bpcharcmp(a, b) from t
select interval '1 day', interval '2' month, current_date, current_timestamp, timeofday(), date '2026-01-01', timestamp '2026-01-01 00:00', d + interval '1 hour' from t
select extract(epoch from ts), extract(dow from d), date_part(week, d), to_char(d, 'YYYY-MM-DD'), to_date('2026', 'YYYY'), to_timestamp('2026', 'YYYY'), to_number('12', '99') from t
select a from t1 minus select a from t2
select a from t1 except select a from t2 intersect select a from t3
select * from t1 natural join t2
select * from t1 full outer join t2 using (a)
select * from t1 cross join t2
select a into new_t from t
select a into temp table #x from t
select case a when 1 then 'x' else 'y' end, case when a is null then 1 end from t
select a from t where (a, b) in (select c, d from u)
select a from t where a = any (select b from u)
select a from t where exists (select 1 from u where u.a = t.a)
select a from t where a between 1 and 2 and b is not null and c is true and d not in (1,2) and e like 'x\\_%'
select "quoted Col", t."x" from "My Schema"."My Table" t
select * from db.schema1.t1
select * from awsdatacatalog.db.t
select hll(a), hll_cardinality(hll_create_sketch(a)), hll_combine(s) from t
select st_distance(st_point(1,2), g), st_geomfromtext('POINT(1 2)', 4326) from t
insert into t values (1, 'a'), (2, default)
insert into t (a, b) select a, b from u
insert into t default values
insert into t (select a, b from u)
insert into t with x as (select 1 a) select * from x
update t set a = 1 where b = 2
update t set a = u.a from u where t.b = u.b
update t as x set a = 1 where x.b = 2
update t x set a = u.a from u join v on u.c = v.c where x.b = u.b
with x as (select 1 a) update t set a = x.a from x where t.b = x.a
update t set a = default
delete from t where a = 1
delete t where a = 1
delete from t using u where t.a = u.a
with x as (select 1 a) delete from t using x where t.a = x.a
delete from t
merge into target using source on target.id = source.id when matched then update set id = source.id, name = source.name when not matched then insert values (source.id, source.name)
merge into target using source on target.id = source.id remove duplicates
merge into target using source s on target.id = s.id when matched then delete when not matched then insert (id) values (s.id)
truncate table t
truncate t
create table if not exists s.t (id bigint identity(1,1), a varchar(256) encode zstd not null, b super, c timestamptz default sysdate, d varbyte(100), e geometry, f hllsketch, primary key (id), unique (a), foreign key (b) references u (x)) backup no diststyle key distkey (id) compound sortkey (id, a)
create table t (a int generated by default as identity(0, 1), b varchar(max) collate case_insensitive) distkey(a) interleaved sortkey (a, b)
create table t (a int distkey sortkey encode az64, b date) diststyle auto sortkey auto encode auto
create table t (like u including defaults)
create temp table t as select * from u
create table #t (a int)
create table t distkey (a) sortkey (b) as select * from u
create table t (a, b) as select 1, 2
create local temporary table t (a int)
create view v as select * from t
create or replace view s.v as select * from spectrum.t with no schema binding
create materialized view mv backup yes diststyle key distkey (a) sortkey (a) auto refresh yes as select * from t
create materialized view mv auto refresh yes as select kinesis_data, json_parse(kinesis_data) as d from ext.stream
refresh materialized view mv
refresh materialized view mv cascade
drop materialized view mv
drop materialized view if exists mv cascade
create schema s
create schema if not exists s authorization dwuser quota 50 gb
create external schema s from data catalog database 'd' iam_role default
create external schema s from kinesis iam_role default
create external schema s from redshift database 'd' schema 'x'
create external schema s from postgres database 'd' schema 'x' uri 'h' port 5432 iam_role default secret_arn 'x'
create external table s.t (a int, b struct<c:int,d:array<int>>) partitioned by (d date) stored as parquet location 's3://b/' table properties ('numRows'='1')
create external table s.t stored as parquet location 's3://b/' as select * from t
create database d
create database d with owner x collate case_insensitive isolation level snapshot
create user u password 'Abc12345' createdb in group g
create user u password disable
create group g with user u
create role r
create role r externalid 'x'
alter user u set search_path to a, b
alter user u password 'x' valid until '2026-01-01'
alter group g add user u
alter role r rename to q
alter role r owner to u
drop user if exists u
drop role r force
drop group g
grant select, insert on all tables in schema s to role r
grant select on table t to group g, user2 with grant option
grant usage on schema s to public
grant role r to u
grant role sys:dba to role r
grant role sys:monitor to u with admin option
grant select (a, b) on t to u
grant execute on procedure p(int) to u
grant execute on function f(int) to u
grant usage on language plpgsql to u
grant assumerole on 'arn:aws:iam::123456789012:role/r' to u for copy
grant create on database d to u
grant usage on database d to role r
grant alter on table t to u
grant select for tables in schema s database d to role r
grant explain rls to role r
grant ignore rls to role r
grant usage on datashare ds to account '123456789012'
grant select on external table s.t to iam_role 'arn'
grant create user to role r
grant access system table to role r
revoke all on table t from u cascade
revoke grant option for select on t from u
revoke role r from u
alter default privileges in schema s grant select on tables to role r
alter default privileges for user u in schema s revoke select on tables from group g
alter table t add column a int default 1 encode zstd
alter table t drop column a cascade
alter table t rename to u
alter table t rename column a to b
alter table t owner to u
alter table t alter column a type varchar(200)
alter table t alter column a encode zstd, alter column b encode lzo
alter table t alter distkey a
alter table t alter diststyle all
alter table t alter diststyle key distkey a
alter table t alter sortkey (a, b)
alter table t alter compound sortkey (a)
alter table t alter sortkey none
alter table t alter encode auto
alter table t alter sortkey (a), alter distkey b
alter table t append from u ignoreextra
alter table t add primary key (a)
alter table t add constraint c unique (a)
alter table t drop constraint c
alter table t row level security on
alter table s.t add if not exists partition (d='2026-01-01') location 's3://b/'
alter table s.t set location 's3://b/'
alter materialized view mv auto refresh no
alter schema s owner to u
alter schema s rename to r
alter schema s quota unlimited
alter database d rename to e
alter procedure p(int) rename to q
alter function f(int) owner to u
alter datashare ds add schema s
alter datashare ds add all tables in schema s
alter datashare ds set publicaccessible true
alter system set data_catalog_auto_mount = on
create datashare ds
drop datashare ds
desc datashare ds
show datashares
create masking policy m with (a varchar(256)) using ('xxx'::text)
attach masking policy m on t(a) to public
attach masking policy m on t(a) to role r priority 10
detach masking policy m on t(a) from public
drop masking policy m
create rls policy p with (a int) as x using (x.a = 1)
attach rls policy p on t to role r
detach rls policy p on t from role r
drop rls policy p
create model m from t target a function f iam_role default settings (s3_bucket 'b')
drop model m
show model all
create library f language plpythonu from 's3://b/f.zip' iam_role default
drop library f
create external function f(int) returns int stable lambda 'fn' iam_role default
create function f_py(a varchar) returns varchar stable as $$ return a $$ language plpythonu
drop function f(int)
create or replace procedure s.p(a in int, b inout varchar(20), c out int) language plpgsql security definer as $$ declare r record; n int := 0; begin for r in select * from t loop n := n + 1; end loop; execute 'drop table ' || quote_ident(b); raise info 'n %', n; if n > 1 then return; elsif n = 0 then n := 1; else n := 2; end if; exception when others then raise exception 'x'; end; $$
create procedure p() nonatomic as $$ begin insert into t values (1); commit; truncate t; rollback; end; $$ language plpgsql
create procedure p() as $$ begin select 1; perform 1; get diagnostics n := row_count; while n > 0 loop n := n - 1; exit when n = 1; end loop; open c for select 1; fetch c into r; close c; end $$ language plpgsql set search_path to a
drop procedure p(int)
drop procedure if exists p()
call p(1, 'a')
call s.p(getdate()::date, (select max(a) from t))
copy t from 's3://b/x' iam_role default csv ignoreheader 1 gzip
copy t (a, b) from 's3://b/m' iam_role 'arn:aws:iam::1:role/r' manifest format as json 'auto ignorecase' timeformat 'auto' truncatecolumns acceptinvchars '?' maxerror 10 compupdate off statupdate on
copy t from 's3://b/x' iam_role default format as parquet serializetojson
copy t from 's3://b/x' iam_role default delimiter '|' removequotes escape null as '\\N' blanksasnull emptyasnull trimblanks roundec dateformat 'auto' explicit_ids fillrecord region 'us-east-1'
copy t from 's3://b/x' iam_role default format orc
copy t from 's3://b/x' iam_role default avro 's3://b/paths.json'
copy t from 'dynamodb://x' iam_role default readratio 50
copy t from 'emr://j-1/x' iam_role default
copy t from 's3://b/x' access_key_id 'a' secret_access_key 'b' fixedwidth 'a:3,b:4'
copy t from 's3://b/x' credentials 'aws_iam_role=arn' lzop encrypted
copy t from 's3://b/x' iam_role default format as shapefile
copy t from 's3://b/x' iam_role default job create j auto on
copy job list
unload ('select * from t') to 's3://b/x' iam_role default parquet partition by (d) include cleanpath
unload ('select * from t where a = ''x''') to 's3://b/x' iam_role default csv delimiter as '|' header gzip allowoverwrite parallel off maxfilesize 100 mb extension 'csv.gz' rowgroupsize 64 mb
unload ($$select 1$$) to 's3://b/x' iam_role default manifest verbose encrypted kms_key_id 'k' escape addquotes null as 'x'
vacuum
vacuum full t to 99 percent boost
vacuum sort only t
vacuum delete only t
vacuum reindex t
vacuum recluster t
analyze
analyze verbose t
analyze t (a, b)
analyze t predicate columns
analyze compression t comprows 100000
lock table t
lock a, b
comment on table t is 'x'
comment on column t.a is null
set search_path to a, b
set search_path = a
set query_group to 'x'
set wlm_query_slot_count to 3
set statement_timeout to 60000
set enable_case_sensitive_identifier to true
set timezone to 'Europe/Berlin'
set session authorization default
set enable_result_cache_for_session to off
set json_parse_truncate_strings = on
set local query_group to x
reset query_group
reset all
reset session authorization
show all
show search_path
show table s.t
show view v
show schemas from database d
show tables from schema d.s
show columns from table d.s.t
show grants on table t
show grants for role r
show procedure p(int)
show external table s.t
show databases
explain select * from t
explain verbose select 1
prepare s (int) as select * from t where a = $1
execute s (1)
deallocate s
declare c cursor for select * from t
fetch forward 10 from c
close c
cancel 1234 'long'
use d
begin
end
commit
rollback
start transaction
drop table if exists a, b cascade
drop view if exists v
drop schema if exists s cascade
drop schema s drop external database
drop database d force
drop external view v
create external view s.v as select * from x
create or replace external view data catalog s.v as select 1
create identity provider "x" type azure namespace 'aad' parameters '{}'
select * from svv_table_info where "table" = 't'
select pg_backend_pid(), pg_last_query_id(), pg_last_copy_count(), current_user, current_user_id, user, version(), current_schema(), has_table_privilege('u', 't', 'select'), user_is_member_of('u', 'r'), session_user, current_namespace
select /* hint */ a -- c
select a as "b", a b, a as value, a as type, a as name, a as date, a as year, a as user_name from t
select count(*) from t group by ()
select array_concat(a, b), subarray(a, 1, 2), array_flatten(a), split_to_array('a,b'), lower(s), is_object(a), json_typeof(a), size(a), lower_attribute_names(a) from t
select a.b.c[1]['d'] from t a
select max(a) keep from t
select a from t order by random() limit all
select any_value(a), bool_and(b), bit_or(c), stddev_samp(d), var_pop(e), sum(distinct f) from t
select f_sql(a), s.f_sql(a, b) from t
select a from t where d >= date_trunc('day', getdate()) - interval '7 days'
select a from t where a in ('x','y') and not (b or c) and ((d)) = 1
select 1e5, .5, 5., -3, +2, 1.5e-3, 'it''s', 'it\'s', $$x$$, E'a\nb', true, null
select grouping(a), grouping_id(a,b) from t group by cube(a,b)
select national, nchar(5) from t
select set_config('search_path', 'staging', false), pg_cancel_backend(802), pg_terminate_backend(8585)
select set_config('query_group', 'test', true), set_config('use_fips_ssl', 'on', false)
