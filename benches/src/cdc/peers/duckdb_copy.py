"""DuckDB on one thread: read_ndjson, COPY to CSV with zstd. Usage: duckdb_copy.py EVENTS OUTPUT

The column that is not in the contract is declared here, because DuckDB's reader drops undeclared columns.
"""

import sys

import duckdb

ROW = """STRUCT(id BIGINT, customer_id INTEGER, status VARCHAR, currency VARCHAR, total VARCHAR, tax VARCHAR, discount VARCHAR,
    items SMALLINT, weight DOUBLE, gift BOOLEAN, email VARCHAR, address VARCHAR, note VARCHAR, coupon VARCHAR, ordered_on INTEGER,
    created_at BIGINT, updated_at BIGINT, channel VARCHAR)"""

COPY = f"""
COPY (
    SELECT image.id, image.customer_id, image.status, image.currency, image.total, image.tax, image.discount, image.items,
        image.weight, image.gift, image.email, image.address, image.note, image.coupon, DATE '1970-01-01' + image.ordered_on,
        make_timestamp(image.created_at), make_timestamp(image.updated_at), make_timestamp(source.ts_us),
        CASE op WHEN 'c' THEN 'create' WHEN 'u' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'read' END,
        CASE WHEN image.channel IS NOT NULL THEN json_object('channel', image.channel) END
    FROM (
        SELECT CASE op WHEN 'd' THEN before ELSE after END AS image, source, op
        FROM read_ndjson($events, ignore_errors = true, columns = {{
            before: '{ROW}', after: '{ROW}', source: 'STRUCT(ts_us BIGINT)', op: 'VARCHAR' }})
        WHERE op IS NOT NULL)
) TO '%s' (FORMAT csv, COMPRESSION zstd, HEADER false, NULLSTR '\\N')
"""


def main(events, output):
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(COPY.replace("%s", output.replace("'", "''")), {"events": events})


if __name__ == "__main__":
    main(*sys.argv[1:])
