-- Dates. The translation passes the date part as a literal, so PostgreSQL simplifies each CASE when it plans the query.
CREATE OR REPLACE FUNCTION redshift.sysdate() RETURNS timestamp LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT transaction_timestamp()::timestamp $$;
CREATE OR REPLACE FUNCTION redshift.getdate() RETURNS timestamp LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT date_trunc('second', statement_timestamp()::timestamp) $$;

CREATE OR REPLACE FUNCTION redshift.span(part text, n bigint) RETURNS interval LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE part WHEN 'quarter' THEN make_interval(months => (n * 3)::integer)
    WHEN 'week' THEN make_interval(days => (n * 7)::integer) ELSE (n::text || ' ' || part)::interval END $$;
CREATE OR REPLACE FUNCTION redshift.dateadd(part text, n bigint, t timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT t + redshift.span(part, n) $$;
CREATE OR REPLACE FUNCTION redshift.dateadd(part text, n bigint, t date) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT t::timestamp + redshift.span(part, n) $$;
CREATE OR REPLACE FUNCTION redshift.dateadd(part text, n bigint, t timestamptz) RETURNS timestamptz LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$ SELECT t + redshift.span(part, n) $$;

-- Number of boundaries of the part between the two values. Whether weeks start on Sunday or Monday is not documented,
-- so values for which the result would differ are rejected.
CREATE OR REPLACE FUNCTION redshift.week_difference(a timestamp, b timestamp) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE monday bigint := (date_trunc('week', b)::date - date_trunc('week', a)::date) / 7;
  sunday bigint := (date_trunc('week', b + interval '1 day')::date - date_trunc('week', a + interval '1 day')::date) / 7;
BEGIN
  IF monday <> sunday THEN RAISE feature_not_supported USING MESSAGE = format('not translated: DATEDIFF(week, %L, %L) depends on the first day of the week', a, b), HINT = 'DATEDIFF(day, DATE_TRUNC(''week'', a), DATE_TRUNC(''week'', b)) / 7'; END IF;
  RETURN monday;
END $$;
CREATE OR REPLACE FUNCTION redshift.unknown_part(part text) RETURNS double precision LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS
  $$ BEGIN RAISE feature_not_supported USING MESSAGE = format('not translated: the date part %s in this function', part); END $$;
CREATE OR REPLACE FUNCTION redshift.datediff(part text, a timestamp, b timestamp) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE part
    WHEN 'day' THEN (b::date - a::date)::bigint
    WHEN 'month' THEN ((extract(year FROM b) - extract(year FROM a)) * 12 + extract(month FROM b) - extract(month FROM a))::bigint
    WHEN 'quarter' THEN ((extract(year FROM b) - extract(year FROM a)) * 4 + extract(quarter FROM b) - extract(quarter FROM a))::bigint
    WHEN 'year' THEN (extract(year FROM b) - extract(year FROM a))::bigint
    WHEN 'decade' THEN (extract(decade FROM b) - extract(decade FROM a))::bigint
    WHEN 'century' THEN (extract(century FROM b) - extract(century FROM a))::bigint
    WHEN 'millennium' THEN (extract(millennium FROM b) - extract(millennium FROM a))::bigint
    WHEN 'week' THEN redshift.week_difference(a, b)
    WHEN 'hour' THEN (extract(epoch FROM date_trunc('hour', b) - date_trunc('hour', a)) / 3600)::bigint
    WHEN 'minute' THEN (extract(epoch FROM date_trunc('minute', b) - date_trunc('minute', a)) / 60)::bigint
    WHEN 'second' THEN extract(epoch FROM date_trunc('second', b) - date_trunc('second', a))::bigint
    WHEN 'millisecond' THEN (extract(epoch FROM date_trunc('milliseconds', b) - date_trunc('milliseconds', a)) * 1000)::bigint
    WHEN 'microsecond' THEN (extract(epoch FROM b - a) * 1000000)::bigint
    ELSE redshift.unknown_part(part)::bigint END $$;
CREATE OR REPLACE FUNCTION redshift.datediff(part text, a date, b date) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.datediff(part, a::timestamp, b::timestamp) $$;
CREATE OR REPLACE FUNCTION redshift.datediff(part text, a timestamptz, b timestamptz) RETURNS bigint LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.datediff(part, a::timestamp, b::timestamp) $$;
-- PostgreSQL's date_trunc returns TIMESTAMPTZ for a date.
CREATE OR REPLACE FUNCTION redshift.date_trunc(part text, t timestamp) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT date_trunc(part, t) $$;
CREATE OR REPLACE FUNCTION redshift.date_trunc(part text, t date) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT date_trunc(part, t::timestamp) $$;
CREATE OR REPLACE FUNCTION redshift.date_trunc(part text, t timestamptz) RETURNS timestamptz LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$ SELECT date_trunc(part, t) $$;
CREATE OR REPLACE FUNCTION redshift.date_part(part text, t timestamp) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT date_part(part, t) $$;
CREATE OR REPLACE FUNCTION redshift.date_part(part text, t date) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT date_part(part, t::timestamp) $$;
CREATE OR REPLACE FUNCTION redshift.date_part(part text, t timestamptz) RETURNS double precision LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$ SELECT date_part(part, t) $$;
CREATE OR REPLACE FUNCTION redshift.date_part(part text, t time) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT date_part(part, t) $$;
-- Returns INTEGER, truncated, for values without a time zone.
CREATE OR REPLACE FUNCTION redshift.extract_part(part text, t timestamp) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT trunc(date_part(part, t))::integer $$;
CREATE OR REPLACE FUNCTION redshift.extract_part(part text, t date) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.extract_part(part, t::timestamp) $$;
CREATE OR REPLACE FUNCTION redshift.extract_part(part text, t timestamptz) RETURNS double precision LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$ SELECT date_part(part, t) $$;
CREATE OR REPLACE FUNCTION redshift.extract_part(part text, t time) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT trunc(date_part(part, t))::integer $$;
CREATE OR REPLACE FUNCTION redshift.last_day(t timestamp) RETURNS date LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT (date_trunc('month', t) + interval '1 month - 1 day')::date $$;
CREATE OR REPLACE FUNCTION redshift.last_day(t date) RETURNS date LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.last_day(t::timestamp) $$;
-- The last day of a month is mapped to the last day of the resulting month.
CREATE OR REPLACE FUNCTION redshift.add_months(t timestamp, n integer) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT CASE WHEN t::date = redshift.last_day(t) THEN redshift.last_day(date_trunc('month', t) + make_interval(months => n)) + t::time ELSE t + make_interval(months => n) END $$;
CREATE OR REPLACE FUNCTION redshift.add_months(t date, n integer) RETURNS timestamp LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.add_months(t::timestamp, n) $$;
CREATE OR REPLACE FUNCTION redshift.months_between(a timestamp, b timestamp) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT redshift.datediff('month', b, a) + CASE
    WHEN extract(day FROM a) = extract(day FROM b) OR (a::date = redshift.last_day(a) AND b::date = redshift.last_day(b)) THEN 0
    ELSE extract(epoch FROM (a - date_trunc('month', a)) - (b - date_trunc('month', b))) / 86400 / 31 END::float8 $$;
CREATE OR REPLACE FUNCTION redshift.months_between(a date, b date) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.months_between(a::timestamp, b::timestamp) $$;
CREATE OR REPLACE FUNCTION redshift.convert_timezone(zone text, t timestamp) RETURNS timestamp LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$ SELECT t AT TIME ZONE 'UTC' AT TIME ZONE zone $$;
CREATE OR REPLACE FUNCTION redshift.convert_timezone(source text, zone text, t timestamp) RETURNS timestamp LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$ SELECT t AT TIME ZONE source AT TIME ZONE zone $$;
CREATE OR REPLACE FUNCTION redshift.next_day(t date, day text) RETURNS date LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT t + 1 + (CASE lower(left(day, 2)) WHEN 'su' THEN 0 WHEN 'mo' THEN 1 WHEN 'tu' THEN 2 WHEN 'we' THEN 3 WHEN 'th' THEN 4 WHEN 'fr' THEN 5 WHEN 'sa' THEN 6 END - extract(dow FROM t + 1)::integer + 7) % 7 $$;
