-- Aggregates. LISTAGG keeps the type of its values for ORDER BY; its result has at most 65,535 bytes.
CREATE OR REPLACE FUNCTION redshift.listagg_add(state text, value anyelement, separator text) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
  IF value IS NULL THEN RETURN state; END IF;
  state := coalesce(state || coalesce(separator, ''), '') || value::text;
  IF octet_length(state) > 65535 THEN RAISE 'Result size exceeds LISTAGG limit' USING ERRCODE = '54000'; END IF;
  RETURN state;
END $$;
CREATE OR REPLACE AGGREGATE redshift.listagg(anyelement, text) (SFUNC = redshift.listagg_add, STYPE = text);
-- AVG of integers returns an integer, truncated towards zero.
CREATE OR REPLACE FUNCTION redshift.average(bigint[]) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE WHEN $1[1] > 0 THEN $1[2] / $1[1] END $$;
CREATE OR REPLACE FUNCTION redshift.average_add(numeric[], bigint) RETURNS numeric[] LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE WHEN $2 IS NULL THEN $1 ELSE ARRAY[$1[1] + 1, $1[2] + $2] END $$;
CREATE OR REPLACE FUNCTION redshift.average(numeric[]) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE WHEN $1[1] > 0 THEN trunc($1[2] / $1[1])::bigint END $$;
CREATE OR REPLACE AGGREGATE redshift.avg(smallint) (SFUNC = int2_avg_accum, STYPE = bigint[], FINALFUNC = redshift.average, INITCOND = '{0,0}');
CREATE OR REPLACE AGGREGATE redshift.avg(integer) (SFUNC = int4_avg_accum, STYPE = bigint[], FINALFUNC = redshift.average, INITCOND = '{0,0}');
CREATE OR REPLACE AGGREGATE redshift.avg(bigint) (SFUNC = redshift.average_add, STYPE = numeric[], FINALFUNC = redshift.average, INITCOND = '{0,0}');
CREATE OR REPLACE AGGREGATE redshift.avg(numeric) (SFUNC = numeric_avg_accum, STYPE = internal, FINALFUNC = numeric_avg);
CREATE OR REPLACE AGGREGATE redshift.avg(double precision) (SFUNC = float8_accum, STYPE = float8[], FINALFUNC = float8_avg, INITCOND = '{0,0,0}');
