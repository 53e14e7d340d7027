-- System tables for ELT SQL. Only columns with correct values are defined; the use of other columns fails with an
-- error.
CREATE TABLE IF NOT EXISTS redshift.load_errors (
  query_id bigint, table_id bigint, table_name text, start_time timestamp DEFAULT statement_timestamp()::timestamp, file_name text,
  line_number bigint, column_name text, column_type text, error_code integer, error_message text, raw_line text, raw_field_value text);
GRANT SELECT, INSERT ON redshift.load_errors TO PUBLIC;
CREATE OR REPLACE VIEW redshift.sys_load_error_detail AS
  SELECT query_id, table_id, start_time, file_name, line_number, column_name, column_type, error_code, error_message FROM redshift.load_errors;
CREATE OR REPLACE VIEW redshift.stl_load_errors AS
  SELECT query_id AS query, table_id AS tbl, start_time AS starttime, file_name AS filename, line_number, column_name AS colname, column_type AS type,
    raw_line, raw_field_value, error_code AS err_code, error_message AS err_reason FROM redshift.load_errors;
CREATE OR REPLACE VIEW redshift.pg_table_def AS
  SELECT n.nspname AS schemaname, c.relname AS tablename, a.attname AS "column", format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS "notnull"
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND n.nspname = ANY (current_schemas(false));
CREATE OR REPLACE VIEW redshift.svv_columns AS
  SELECT table_catalog::text, table_schema::text, table_name::text, column_name::text, ordinal_position::integer, column_default::text, is_nullable::text,
    data_type::text, character_maximum_length::integer, numeric_precision::integer, numeric_scale::integer
  FROM information_schema.columns WHERE table_schema NOT IN ('redshift', 'pg_catalog', 'information_schema');
CREATE OR REPLACE VIEW redshift.svv_all_columns AS
  SELECT table_catalog AS database_name, table_schema AS schema_name, table_name, column_name, ordinal_position, column_default, is_nullable, data_type,
    character_maximum_length, numeric_precision, numeric_scale FROM redshift.svv_columns;
CREATE OR REPLACE VIEW redshift.svv_redshift_columns AS SELECT database_name, schema_name, table_name, column_name, ordinal_position, data_type, column_default, is_nullable FROM redshift.svv_all_columns;
CREATE OR REPLACE VIEW redshift.svv_tables AS
  SELECT table_catalog::text, table_schema::text, table_name::text, table_type::text FROM information_schema.tables WHERE table_schema NOT IN ('redshift', 'pg_catalog', 'information_schema');
CREATE OR REPLACE VIEW redshift.svv_all_tables AS
  SELECT table_catalog AS database_name, table_schema AS schema_name, table_name, CASE table_type WHEN 'BASE TABLE' THEN 'TABLE' ELSE table_type END AS table_type FROM redshift.svv_tables;
CREATE OR REPLACE VIEW redshift.svv_all_schemas AS
  SELECT current_database()::text AS database_name, nspname::text AS schema_name, nspowner::bigint AS schema_owner FROM pg_namespace WHERE nspname NOT LIKE 'pg\_%' AND nspname NOT IN ('redshift', 'information_schema');
CREATE OR REPLACE VIEW redshift.stv_recents AS
  SELECT usesysid::bigint AS userid, CASE state WHEN 'active' THEN 'Running' ELSE 'Done' END AS status, query_start::timestamp AS starttime, usename::text AS user_name,
    datname::text AS db_name, query, pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database();
GRANT SELECT ON ALL TABLES IN SCHEMA redshift TO PUBLIC;
