-- Scalar functions.
CREATE OR REPLACE FUNCTION redshift.len(text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT length($1) $$;
CREATE OR REPLACE FUNCTION redshift.charindex(text, text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT strpos($2, $1) $$;
CREATE OR REPLACE FUNCTION redshift.replicate(text, integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT repeat($1, $2) $$;
-- NULL if one of the arguments is NULL, unlike PostgreSQL's concat.
CREATE OR REPLACE FUNCTION redshift.concat(text, text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT $1 || $2 $$;
CREATE OR REPLACE FUNCTION redshift.strtol(text, integer) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE digits text := lower(trim($1)); negative boolean := false; value numeric := 0; digit integer; c text;
BEGIN
  IF $2 NOT BETWEEN 2 AND 36 THEN RAISE 'The base of STRTOL must be between 2 and 36' USING ERRCODE = '22023'; END IF;
  IF left(digits, 1) IN ('-', '+') THEN negative := left(digits, 1) = '-'; digits := substr(digits, 2); END IF;
  IF $2 = 16 AND left(digits, 2) = '0x' THEN digits := substr(digits, 3); END IF;
  IF digits = '' THEN RAISE 'The input % is not valid to be converted to base %', $1, $2 USING ERRCODE = '22023'; END IF;
  FOREACH c IN ARRAY string_to_array(digits, NULL) LOOP
    digit := strpos('0123456789abcdefghijklmnopqrstuvwxyz', c) - 1;
    IF digit < 0 OR digit >= $2 THEN RAISE 'The input % is not valid to be converted to base %', $1, $2 USING ERRCODE = '22023'; END IF;
    value := value * $2 + digit;
  END LOOP;
  RETURN CASE WHEN negative THEN -value ELSE value END;
END $$;
-- POSIX patterns; Redshift replaces and counts all matches.
CREATE OR REPLACE FUNCTION redshift.regexp_substr(text, text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT coalesce(regexp_substr($1, $2), '') $$;
CREATE OR REPLACE FUNCTION redshift.regexp_substr(text, text, integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT coalesce(regexp_substr($1, $2, $3), '') $$;
CREATE OR REPLACE FUNCTION redshift.regexp_substr(text, text, integer, integer) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT coalesce(regexp_substr($1, $2, $3, $4), '') $$;
CREATE OR REPLACE FUNCTION redshift.regexp_replace(text, text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT regexp_replace($1, $2, '', 'g') $$;
-- A reference to a group is $1 in Redshift and \1 in PostgreSQL.
CREATE OR REPLACE FUNCTION redshift.regexp_replace(text, text, text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
  $$ SELECT regexp_replace($1, $2, regexp_replace(replace($3, '\', '\\'), '\$([0-9])', '\\\1', 'g'), 'g') $$;
CREATE OR REPLACE FUNCTION redshift.regexp_count(text, text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT regexp_count($1, $2) $$;
CREATE OR REPLACE FUNCTION redshift.regexp_instr(text, text) RETURNS integer LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT regexp_instr($1, $2) $$;
CREATE OR REPLACE FUNCTION redshift.sha2(text, integer) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
BEGIN
  CASE $2
    WHEN 0, 256 THEN RETURN encode(sha256(convert_to($1, 'UTF8')), 'hex');
    WHEN 224 THEN RETURN encode(sha224(convert_to($1, 'UTF8')), 'hex');
    WHEN 384 THEN RETURN encode(sha384(convert_to($1, 'UTF8')), 'hex');
    WHEN 512 THEN RETURN encode(sha512(convert_to($1, 'UTF8')), 'hex');
    ELSE RAISE feature_not_supported USING MESSAGE = format('not translated: SHA2 with %s bits', $2);
  END CASE;
END $$;
CREATE OR REPLACE FUNCTION redshift.crc32(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT to_hex(crc32c(convert_to($1, 'UTF8'))) $$;
-- 64-bit FNV-1a; integers are hashed as bytes, least significant byte first.
CREATE OR REPLACE FUNCTION redshift.fnv_bytes(bytea) RETURNS bigint LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE h numeric := 14695981039346656037; low integer;
BEGIN
  FOR i IN 0 .. length($1) - 1 LOOP
    low := (h % 256)::integer;
    h := ((h - low + (low # get_byte($1, i))) * 1099511628211) % 18446744073709551616;
  END LOOP;
  RETURN CASE WHEN h >= 9223372036854775808 THEN h - 18446744073709551616 ELSE h END;
END $$;
CREATE OR REPLACE FUNCTION redshift.fnv_hash(text) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.fnv_bytes(convert_to($1, 'UTF8')) $$;
CREATE OR REPLACE FUNCTION redshift.fnv_hash(integer) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.fnv_bytes(reverse(int4send($1))) $$;
CREATE OR REPLACE FUNCTION redshift.fnv_hash(bigint) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.fnv_bytes(reverse(int8send($1))) $$;
-- PostgreSQL has no SHA-1 without an extension: this is the algorithm of FIPS 180-4, with 32-bit words stored in
-- bigint.
CREATE OR REPLACE FUNCTION redshift.sha1(text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  mask constant bigint := 4294967295;
  message bytea := convert_to($1, 'UTF8');
  bits bigint := length(message) * 8;
  h bigint[] := ARRAY[1732584193, 4023233417, 2562383102, 271733878, 3285377520];
  w bigint[]; a bigint; b bigint; c bigint; d bigint; e bigint; f bigint; k bigint; t bigint; x bigint;
BEGIN
  message := message || '\x80'::bytea;
  message := message || decode(repeat('00', (120 - length(message) % 64) % 64), 'hex') || int8send(bits);
  FOR block IN 0 .. length(message) / 64 - 1 LOOP
    FOR i IN 0 .. 15 LOOP
      t := block * 64 + i * 4;
      w[i] := (get_byte(message, t::int)::bigint << 24) | (get_byte(message, (t + 1)::int) << 16) | (get_byte(message, (t + 2)::int) << 8) | get_byte(message, (t + 3)::int);
    END LOOP;
    FOR i IN 16 .. 79 LOOP
      x := w[i - 3] # w[i - 8] # w[i - 14] # w[i - 16];
      w[i] := ((x << 1) | (x >> 31)) & mask;
    END LOOP;
    a := h[1]; b := h[2]; c := h[3]; d := h[4]; e := h[5];
    FOR i IN 0 .. 79 LOOP
      IF i < 20 THEN f := (b & c) | ((~b & mask) & d); k := 1518500249;
      ELSIF i < 40 THEN f := b # c # d; k := 1859775393;
      ELSIF i < 60 THEN f := (b & c) | (b & d) | (c & d); k := 2400959708;
      ELSE f := b # c # d; k := 3395469782;
      END IF;
      t := ((((a << 5) | (a >> 27)) & mask) + f + e + k + w[i]) & mask;
      e := d; d := c; c := ((b << 30) | (b >> 2)) & mask; b := a; a := t;
    END LOOP;
    h := ARRAY[(h[1] + a) & mask, (h[2] + b) & mask, (h[3] + c) & mask, (h[4] + d) & mask, (h[5] + e) & mask];
  END LOOP;
  RETURN lpad(to_hex(h[1]), 8, '0') || lpad(to_hex(h[2]), 8, '0') || lpad(to_hex(h[3]), 8, '0') || lpad(to_hex(h[4]), 8, '0') || lpad(to_hex(h[5]), 8, '0');
END $$;
CREATE OR REPLACE FUNCTION redshift.sha(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.sha1($1) $$;
CREATE OR REPLACE FUNCTION redshift.func_sha1(text) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT redshift.sha1($1) $$;
-- ROUND and TRUNC accept doubles with a scale, which PostgreSQL does not; TRUNC of a timestamp returns its date.
CREATE OR REPLACE FUNCTION redshift.round(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT round($1) $$;
CREATE OR REPLACE FUNCTION redshift.round(numeric, integer) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT round($1, $2) $$;
CREATE OR REPLACE FUNCTION redshift.round(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT round($1) $$;
CREATE OR REPLACE FUNCTION redshift.round(double precision, integer) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT round($1::numeric, $2)::float8 $$;
CREATE OR REPLACE FUNCTION redshift.trunc(numeric) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT trunc($1) $$;
CREATE OR REPLACE FUNCTION redshift.trunc(numeric, integer) RETURNS numeric LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT trunc($1, $2) $$;
CREATE OR REPLACE FUNCTION redshift.trunc(double precision) RETURNS double precision LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT trunc($1) $$;
CREATE OR REPLACE FUNCTION redshift.trunc(timestamp) RETURNS date LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$ SELECT $1::date $$;
CREATE OR REPLACE FUNCTION redshift.trunc(timestamptz) RETURNS date LANGUAGE sql STABLE STRICT PARALLEL SAFE AS $$ SELECT $1::date $$;
-- ALTER COLUMN TYPE VARCHAR(n), the only type change that Redshift supports; the check of the byte limit is replaced.
CREATE OR REPLACE FUNCTION redshift.alter_varchar(target regclass, name text, bytes integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE old text; number smallint; size integer; old_check text;
BEGIN
  SELECT format_type(atttypid, NULL), attnum, atttypmod - 4 INTO old, number, size FROM pg_attribute WHERE attrelid = target AND attname = name AND NOT attisdropped;
  IF old IS NULL THEN RAISE 'column "%" of relation "%" does not exist', name, target USING ERRCODE = '42703'; END IF;
  IF old <> 'character varying' THEN RAISE 'cannot alter type of column "%": only the size of a VARCHAR column can change', name USING ERRCODE = '0A000'; END IF;
  IF size = bytes THEN RAISE 'cannot alter column "%" of relation "%", target column size should be different', name, target USING ERRCODE = '0A000'; END IF;
  FOR old_check IN SELECT conname FROM pg_constraint WHERE conrelid = target AND contype = 'c' AND conkey = ARRAY[number] AND pg_get_constraintdef(oid) LIKE '%octet_length%' LOOP
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', target, old_check);
  END LOOP;
  EXECUTE format('ALTER TABLE %s ALTER COLUMN %I TYPE varchar(%s), ADD CHECK (octet_length(%2$I) <= %3$s)', target, name, bytes);
END $$;
