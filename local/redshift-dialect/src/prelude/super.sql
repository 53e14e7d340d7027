-- SUPER: stored as jsonb, with the casts and comparisons of Redshift.
CREATE SCHEMA IF NOT EXISTS redshift;
GRANT USAGE ON SCHEMA redshift TO PUBLIC;
DO $prelude$
DECLARE op record; ty text; value_ text;
BEGIN
  PERFORM pg_advisory_xact_lock(7466420180001);
  IF EXISTS (SELECT FROM pg_type WHERE typname = 'super' AND typnamespace = 'pg_catalog'::regnamespace) THEN RETURN; END IF;
  SET LOCAL check_function_bodies = off;
  CREATE TYPE pg_catalog.super;
  CREATE FUNCTION redshift.super_in(cstring) RETURNS super LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'jsonb_in';
  CREATE FUNCTION redshift.super_out(super) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'jsonb_out';
  CREATE FUNCTION redshift.super_recv(internal) RETURNS super LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'jsonb_recv';
  CREATE FUNCTION redshift.super_send(super) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'jsonb_send';
  CREATE TYPE pg_catalog.super (INPUT = redshift.super_in, OUTPUT = redshift.super_out, RECEIVE = redshift.super_recv,
    SEND = redshift.super_send, INTERNALLENGTH = VARIABLE, ALIGNMENT = int4, STORAGE = extended);
  CREATE CAST (super AS jsonb) WITHOUT FUNCTION;
  CREATE CAST (jsonb AS super) WITHOUT FUNCTION AS ASSIGNMENT;

  -- Order and equality of whole values, for grouping, DISTINCT, joins and sorting.
  FOR op IN SELECT * FROM (VALUES ('=', 'jsonb_eq', 'eq', '=', '<>'), ('<>', 'jsonb_ne', 'ne', '<>', '='), ('<', 'jsonb_lt', 'lt', '>', '>='),
      ('<=', 'jsonb_le', 'le', '>=', '>'), ('>', 'jsonb_gt', 'gt', '<', '<='), ('>=', 'jsonb_ge', 'ge', '<=', '<')) AS v(sign, fn, name, commutator, negator) LOOP
    EXECUTE format('CREATE FUNCTION redshift.super_%s(super, super) RETURNS boolean LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS %L', op.name, op.fn);
    EXECUTE format('CREATE OPERATOR pg_catalog.%s (LEFTARG = super, RIGHTARG = super, FUNCTION = redshift.super_%s%s)', op.sign, op.name,
      CASE WHEN op.sign = '=' THEN ', HASHES, MERGES' ELSE '' END);
  END LOOP;
  CREATE FUNCTION redshift.super_cmp(super, super) RETURNS integer LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'jsonb_cmp';
  CREATE FUNCTION redshift.super_hash(super) RETURNS integer LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'jsonb_hash';
  CREATE OPERATOR CLASS redshift.super_order DEFAULT FOR TYPE super USING btree AS
    OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=, OPERATOR 4 pg_catalog.>=, OPERATOR 5 pg_catalog.>,
    FUNCTION 1 redshift.super_cmp(super, super);
  CREATE OPERATOR CLASS redshift.super_hashing DEFAULT FOR TYPE super USING hash AS
    OPERATOR 1 pg_catalog.=, FUNCTION 1 redshift.super_hash(super);

  -- A SUPER value and a scalar are compared if the types match; otherwise the result is NULL (lax semantics).
  FOREACH ty IN ARRAY ARRAY['text', 'numeric', 'integer', 'bigint', 'double precision', 'boolean'] LOOP
    value_ := CASE ty WHEN 'text' THEN 'CASE jsonb_typeof($1::jsonb) WHEN ''string'' THEN $1::jsonb #>> ''{}'' END'
      WHEN 'boolean' THEN 'CASE jsonb_typeof($1::jsonb) WHEN ''boolean'' THEN ($1::jsonb)::boolean END'
      ELSE 'CASE jsonb_typeof($1::jsonb) WHEN ''number'' THEN ($1::jsonb)::numeric END' END;
    FOR op IN SELECT * FROM (VALUES ('=', 'eq', '='), ('<>', 'ne', '<>'), ('<', 'lt', '>'), ('<=', 'le', '>='), ('>', 'gt', '<'), ('>=', 'ge', '<=')) AS v(sign, name, mirror) LOOP
      EXECUTE format('CREATE FUNCTION redshift.super_%s(super, %s) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L', op.name, ty,
        format('SELECT (%s) %s $2%s', value_, op.sign, CASE WHEN ty IN ('integer', 'bigint', 'double precision') THEN '::numeric' ELSE '' END));
      EXECUTE format('CREATE FUNCTION redshift.super_%s(%s, super) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS %L', op.name, ty,
        format('SELECT redshift.super_%s($2, $1)', (ARRAY['eq','ne','gt','ge','lt','le'])[array_position(ARRAY['eq','ne','lt','le','gt','ge'], op.name)]));
      EXECUTE format('CREATE OPERATOR pg_catalog.%s (LEFTARG = super, RIGHTARG = %s, FUNCTION = redshift.super_%s)', op.sign, ty, op.name);
      EXECUTE format('CREATE OPERATOR pg_catalog.%s (LEFTARG = %s, RIGHTARG = super, FUNCTION = redshift.super_%s)', op.sign, ty, op.name);
    END LOOP;
  END LOOP;
END $prelude$;

CREATE OR REPLACE FUNCTION redshift.super_text(super) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT CASE WHEN jsonb_typeof($1::jsonb) IN ('string', 'number', 'boolean') THEN $1::jsonb #>> '{}' END $$;
-- A cast that fails returns NULL, as with Redshift's default of `cast_super_null_on_error`. A number or boolean is cast
-- directly. A string is not cast to a number, because Redshift's result is not documented.
CREATE OR REPLACE FUNCTION redshift.super_numeric(super) RETURNS numeric LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  CASE jsonb_typeof($1::jsonb)
    WHEN 'number' THEN RETURN ($1::jsonb)::numeric;
    WHEN 'string' THEN RAISE feature_not_supported USING MESSAGE = 'not translated: a SUPER string cast to a number', HINT = 'cast it to VARCHAR first';
    ELSE RETURN NULL;
  END CASE;
END $$;
CREATE OR REPLACE FUNCTION redshift.super_boolean(super) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT CASE jsonb_typeof($1::jsonb) WHEN 'boolean' THEN ($1::jsonb)::boolean END $$;
CREATE OR REPLACE FUNCTION redshift.super_smallint(super) RETURNS smallint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT CASE WHEN redshift.super_numeric($1) BETWEEN -32768 AND 32767 THEN redshift.super_numeric($1)::smallint END $$;
CREATE OR REPLACE FUNCTION redshift.super_integer(super) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT CASE WHEN redshift.super_numeric($1) BETWEEN -2147483648 AND 2147483647 THEN redshift.super_numeric($1)::integer END $$;
CREATE OR REPLACE FUNCTION redshift.super_bigint(super) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT CASE WHEN redshift.super_numeric($1) BETWEEN -9223372036854775808 AND 9223372036854775807 THEN redshift.super_numeric($1)::bigint END $$;
CREATE OR REPLACE FUNCTION redshift.super_real(super) RETURNS real LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT CASE WHEN pg_input_is_valid(redshift.super_numeric($1)::text, 'real') THEN redshift.super_numeric($1)::real END $$;
CREATE OR REPLACE FUNCTION redshift.super_double(super) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT CASE WHEN pg_input_is_valid(redshift.super_numeric($1)::text, 'float8') THEN redshift.super_numeric($1)::float8 END $$;
CREATE OR REPLACE FUNCTION redshift.super_date(super) RETURNS date LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT CASE WHEN pg_input_is_valid(redshift.super_text($1), 'date') THEN redshift.super_text($1)::date END $$;
CREATE OR REPLACE FUNCTION redshift.super_timestamp(super) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT CASE WHEN pg_input_is_valid(redshift.super_text($1), 'timestamp') THEN redshift.super_text($1)::timestamp END $$;
CREATE OR REPLACE FUNCTION redshift.super_timestamptz(super) RETURNS timestamptz LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$ SELECT CASE WHEN pg_input_is_valid(redshift.super_text($1), 'timestamptz') THEN redshift.super_text($1)::timestamptz END $$;

-- Scalars are converted to SUPER; a string stays a string and is not parsed as JSON.
CREATE OR REPLACE FUNCTION redshift.to_super(text) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT to_jsonb($1)::super $$;
CREATE OR REPLACE FUNCTION redshift.to_super(numeric) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT to_jsonb($1)::super $$;
CREATE OR REPLACE FUNCTION redshift.to_super(integer) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT to_jsonb($1)::super $$;
CREATE OR REPLACE FUNCTION redshift.to_super(bigint) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT to_jsonb($1)::super $$;
CREATE OR REPLACE FUNCTION redshift.to_super(double precision) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT to_jsonb($1)::super $$;
CREATE OR REPLACE FUNCTION redshift.to_super(boolean) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT to_jsonb($1)::super $$;
CREATE OR REPLACE FUNCTION redshift.to_super(super) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT $1 $$;

DO $prelude$
DECLARE pair record; ty text;
BEGIN
  IF EXISTS (SELECT FROM pg_cast WHERE castsource = 'super'::regtype AND casttarget = 'text'::regtype) THEN RETURN; END IF;
  FOR pair IN SELECT * FROM (VALUES ('text', 'text'), ('varchar', 'text'), ('bpchar', 'text'), ('numeric', 'numeric'), ('smallint', 'smallint'), ('integer', 'integer'),
      ('bigint', 'bigint'), ('real', 'real'), ('double precision', 'double'), ('boolean', 'boolean'), ('date', 'date'), ('timestamp', 'timestamp'),
      ('timestamptz', 'timestamptz')) AS v(ty, name) LOOP
    IF pair.ty IN ('varchar', 'bpchar') THEN
      EXECUTE format('CREATE FUNCTION redshift.super_%s(super) RETURNS %1$s LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS %L', pair.ty, 'SELECT redshift.super_text($1)');
      EXECUTE format('CREATE CAST (super AS %s) WITH FUNCTION redshift.super_%1$s(super)', pair.ty);
    ELSE
      EXECUTE format('CREATE CAST (super AS %s) WITH FUNCTION redshift.super_%s(super)', pair.ty, pair.name);
    END IF;
  END LOOP;
  FOREACH ty IN ARRAY ARRAY['text', 'numeric', 'integer', 'bigint', 'double precision', 'boolean'] LOOP
    EXECUTE format('CREATE CAST (%s AS super) WITH FUNCTION redshift.to_super(%1$s) AS ASSIGNMENT', ty);
  END LOOP;
  CREATE FUNCTION redshift.to_super(varchar) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $f$ SELECT to_jsonb($1)::super $f$;
  CREATE CAST (varchar AS super) WITH FUNCTION redshift.to_super(varchar) AS ASSIGNMENT;
END $prelude$;

-- Paths: a step that does not match the value returns NULL (lax semantics).
CREATE OR REPLACE FUNCTION redshift.get(super, text) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT CASE jsonb_typeof($1::jsonb) WHEN 'object' THEN ($1::jsonb -> $2)::super END $$;
CREATE OR REPLACE FUNCTION redshift.get(super, integer) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT CASE WHEN jsonb_typeof($1::jsonb) = 'array' AND $2 >= 0 THEN ($1::jsonb -> $2)::super END $$;
CREATE OR REPLACE FUNCTION redshift.get(super, bigint) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.get($1, $2::integer) $$;
-- FROM t, t.items AS i: one row per element. A value that is not an array is rejected, because a wrong guess could hide
-- rows.
CREATE OR REPLACE FUNCTION redshift.elements(super) RETURNS SETOF super LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  IF jsonb_typeof($1::jsonb) = 'null' THEN RETURN; END IF;
  IF jsonb_typeof($1::jsonb) <> 'array' THEN RAISE feature_not_supported USING MESSAGE = 'not translated: unnesting a SUPER value that is not an array'; END IF;
  RETURN QUERY SELECT e::super FROM jsonb_array_elements($1::jsonb) AS e;
END $$;
CREATE OR REPLACE FUNCTION redshift.elements_at(super, OUT element super, OUT at bigint) RETURNS SETOF record LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  RETURN QUERY SELECT e, row_number() OVER () - 1 FROM redshift.elements($1) AS e;
END $$;

-- FROM t, UNPIVOT t.document AS value AT name: one row per attribute.
CREATE OR REPLACE FUNCTION redshift.attributes(super, OUT value super, OUT name text) RETURNS SETOF record LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT a.value::super, a.key FROM jsonb_each(CASE jsonb_typeof($1::jsonb) WHEN 'object' THEN $1::jsonb ELSE '{}' END) AS a $$;
CREATE OR REPLACE FUNCTION redshift.object_set(super, text[], super) RETURNS super LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT CASE WHEN jsonb_typeof($1::jsonb) = 'object' THEN jsonb_set($1::jsonb, $2, coalesce($3::jsonb, 'null'), true)::super END $$;

CREATE OR REPLACE FUNCTION redshift.json_parse(text) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT $1::jsonb::super $$;
CREATE OR REPLACE FUNCTION redshift.can_json_parse(text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT pg_input_is_valid($1, 'jsonb') $$;
CREATE OR REPLACE FUNCTION redshift.is_valid_json(text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT pg_input_is_valid($1, 'jsonb') AND left(ltrim($1), 1) = '{' $$;
CREATE OR REPLACE FUNCTION redshift.is_valid_json_array(text) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT pg_input_is_valid($1, 'jsonb') AND left(ltrim($1), 1) = '[' $$;
-- Compact JSON, as Redshift prints it: without spaces after commas and colons.
CREATE OR REPLACE FUNCTION redshift.compact(jsonb) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE jsonb_typeof($1)
    WHEN 'object' THEN '{' || coalesce((SELECT string_agg(to_json(key)::text || ':' || redshift.compact(value), ',' ORDER BY n) FROM jsonb_each($1) WITH ORDINALITY AS e(key, value, n)), '') || '}'
    WHEN 'array' THEN '[' || coalesce((SELECT string_agg(redshift.compact(value), ',' ORDER BY n) FROM jsonb_array_elements($1) WITH ORDINALITY AS e(value, n)), '') || ']'
    ELSE $1::text END $$;
CREATE OR REPLACE FUNCTION redshift.json_serialize(super) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.compact($1::jsonb) $$;
CREATE OR REPLACE FUNCTION redshift.json_size(super) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT octet_length(redshift.compact($1::jsonb))::bigint $$;
CREATE OR REPLACE FUNCTION redshift.json_typeof(super) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT jsonb_typeof($1::jsonb) $$;
CREATE OR REPLACE FUNCTION redshift.is_array(super) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT jsonb_typeof($1::jsonb) = 'array' $$;
CREATE OR REPLACE FUNCTION redshift.is_object(super) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT jsonb_typeof($1::jsonb) = 'object' $$;
CREATE OR REPLACE FUNCTION redshift.is_varchar(super) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT jsonb_typeof($1::jsonb) = 'string' $$;
CREATE OR REPLACE FUNCTION redshift.is_boolean(super) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT jsonb_typeof($1::jsonb) = 'boolean' $$;
CREATE OR REPLACE FUNCTION redshift.is_scalar(super) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT jsonb_typeof($1::jsonb) NOT IN ('array', 'object') $$;
CREATE OR REPLACE FUNCTION redshift.get_array_length(super) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT CASE jsonb_typeof($1::jsonb) WHEN 'array' THEN jsonb_array_length($1::jsonb)::bigint END $$;
CREATE OR REPLACE FUNCTION redshift.array_of(super[]) RETURNS super LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT coalesce(jsonb_agg(e::jsonb ORDER BY n), '[]')::super FROM unnest($1) WITH ORDINALITY AS u(e, n) $$;
CREATE OR REPLACE FUNCTION redshift.object_of(super[]) RETURNS super LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT coalesce(jsonb_object_agg($1[i]::jsonb #>> '{}', $1[i + 1]::jsonb), '{}')::super FROM generate_series(1, cardinality($1), 2) AS i $$;
CREATE OR REPLACE FUNCTION redshift.array_concat(super, super) RETURNS super LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT CASE WHEN jsonb_typeof($1::jsonb) = 'array' AND jsonb_typeof($2::jsonb) = 'array' THEN ($1::jsonb || $2::jsonb)::super END $$;
-- JSON in VARCHAR. The optional last argument requests NULL instead of an error.
CREATE OR REPLACE FUNCTION redshift.json_extract_path_text(text, VARIADIC text[]) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT nullif($1::jsonb #>> $2, NULL) $$;
CREATE OR REPLACE FUNCTION redshift.json_extract_array_element_text(text, integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT $1::jsonb ->> $2 $$;
CREATE OR REPLACE FUNCTION redshift.json_array_length(text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT jsonb_array_length($1::jsonb) $$;
