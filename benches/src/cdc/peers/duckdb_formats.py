"""DuckDB on one thread, for the events of other sources: read_ndjson, COPY to CSV with zstd.

Usage: duckdb_formats.py EVENTS OUTPUT FORM. The column that is not in the contract is declared here, because DuckDB's
reader drops undeclared columns.
"""

import json
import sys

import duckdb

TYPES = {
    "id": "BIGINT", "customer_id": "INTEGER", "status": "VARCHAR", "currency": "VARCHAR", "total": "VARCHAR",
    "tax": "VARCHAR", "discount": "VARCHAR", "items": "SMALLINT", "weight": "DOUBLE", "gift": "BOOLEAN",
    "email": "VARCHAR", "address": "VARCHAR", "note": "VARCHAR", "coupon": "VARCHAR", "ordered_on": "INTEGER",
    "created_at": "BIGINT", "updated_at": "BIGINT", "channel": "VARCHAR",
}  # fmt: skip
ROW = "STRUCT(" + ", ".join(f"{name} {kind}" for name, kind in TYPES.items()) + ")"
IMAGE = "CASE op WHEN 'd' THEN before ELSE after END"
OPERATION = "CASE op WHEN 'c' THEN 'create' WHEN 'u' THEN 'update' WHEN 'd' THEN 'delete' ELSE 'read' END"
WRAPPERS = {
    "_id": "$numberLong", "total": "$numberDecimal", "tax": "$numberDecimal", "discount": "$numberDecimal",
    "created_at": "$numberLong", "updated_at": "$numberLong",
}  # fmt: skip


def mysql():
    """The images are structures."""
    columns = f"before: '{ROW}', after: '{ROW}', source: 'STRUCT(ts_us BIGINT)', op: 'VARCHAR'"
    values = {name: f"image.{name}" for name in TYPES}
    return columns, IMAGE, values, ("op IS NOT NULL", "source.ts_us", OPERATION)


def mongodb():
    """The images are strings of extended JSON, which are parsed a second time."""
    types = {"_id" if name == "id" else name: kind for name, kind in TYPES.items()}
    shape = {name: {WRAPPERS[name]: kind} if name in WRAPPERS else kind for name, kind in types.items()}
    image = f"from_json({IMAGE}, '{json.dumps(shape)}')"
    columns = "before: 'VARCHAR', after: 'VARCHAR', source: 'STRUCT(ts_us BIGINT)', op: 'VARCHAR'"
    value = {name: f'image."{name}"' + (f'."{WRAPPERS[name]}"' if name in WRAPPERS else "") for name in types}
    values = {name: value["_id" if name == "id" else name] for name in TYPES}
    return columns, image, values, ("op IS NOT NULL", "source.ts_us", OPERATION)


def dynamodb():
    """The values are structures with one member for their type."""
    letters = {
        name: "BOOL" if kind == "BOOLEAN" else "S" if kind == "VARCHAR" and name not in WRAPPERS else "N"
        for name, kind in TYPES.items()
    }
    members = ", ".join(f"{name} STRUCT({letters[name]} {kind})" for name, kind in TYPES.items())
    item = f"STRUCT({members})"
    columns = f"""eventName: 'VARCHAR', dynamodb: 'STRUCT(ApproximateCreationDateTime BIGINT, NewImage {item}, OldImage {item})'"""
    image = "CASE eventName WHEN 'REMOVE' THEN dynamodb.OldImage ELSE dynamodb.NewImage END"
    values = {name: f"image.{name}.{letters[name]}" for name in TYPES}
    operation = "CASE op WHEN 'INSERT' THEN 'create' WHEN 'MODIFY' THEN 'update' ELSE 'delete' END"
    return columns, image, values, ("eventName IS NOT NULL", "dynamodb.ApproximateCreationDateTime", operation)


def main(events, output, form):
    columns, image, values, (is_event, time, operation) = {"mysql": mysql, "mongodb": mongodb, "dynamodb": dynamodb}[form]()
    op = "eventName AS op" if form == "dynamodb" else "op"
    fields = dict(values)
    fields["ordered_on"] = f"DATE '1970-01-01' + {values['ordered_on']}"
    for name in ("created_at", "updated_at"):
        fields[name] = f"make_timestamp({values[name]})"
    channel = fields.pop("channel")
    select = f"""
        SELECT {", ".join(fields.values())}, make_timestamp(time), {operation},
            CASE WHEN {channel} IS NOT NULL THEN json_object('channel', {channel}) END
        FROM (SELECT {image} AS image, {time} AS time, {op}
            FROM read_ndjson($events, ignore_errors = true, columns = {{ {columns} }}) WHERE {is_event})"""
    target = output.replace("'", "''")
    connection = duckdb.connect(config={"threads": 1})
    connection.execute(
        f"COPY ({select}) TO '{target}' (FORMAT csv, COMPRESSION zstd, HEADER false, NULLSTR '\\N')", {"events": events}
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
