"""A hand-written script: orjson, the csv module, zstd level 1. Usage: orjson_csv.py EVENTS OUTPUT"""

import csv
import io
import sys
from datetime import date, datetime, timedelta

import orjson
import zstandard

COLUMNS = (
    "id customer_id status currency total tax discount items weight gift email address note coupon "
    "ordered_on created_at updated_at"
).split()
KNOWN = frozenset(COLUMNS)
OPERATIONS = {"c": "create", "u": "update", "d": "delete", "r": "read"}
DAY_ONE = date(1970, 1, 1)
EPOCH = datetime(1970, 1, 1)
NULL = "\\N"


def instant(microseconds):
    return (EPOCH + timedelta(microseconds=microseconds)).isoformat(sep=" ", timespec="microseconds")


def row(event, offset):
    image = event["before"] if event["op"] == "d" else event["after"]
    fields = [image.get(column) for column in COLUMNS]
    fields[9] = "true" if fields[9] else "false"
    fields[14] = DAY_ONE + timedelta(days=fields[14])
    fields[15] = instant(fields[15])
    fields[16] = instant(fields[16])
    fields = [NULL if field is None else field for field in fields]
    # Only an event with more keys than columns can contain an unknown key.
    missing = {key: value for key, value in image.items() if key not in KNOWN} if len(image) > len(COLUMNS) else None
    source = event["source"]
    fields += (
        instant(source["ts_us"]),
        OPERATIONS[event["op"]],
        orjson.dumps(missing).decode() if missing else NULL,
        offset,
    )
    return fields


def main(events, output):
    refused = 0
    with (
        open(events, "rb", buffering=1 << 20) as lines,
        open(output, "wb") as file,
        zstandard.ZstdCompressor(level=1).stream_writer(file) as compressed,
        io.TextIOWrapper(io.BufferedWriter(compressed, 1 << 20), encoding="utf-8", newline="") as text,
    ):
        write = csv.writer(text, lineterminator="\n").writerow
        for offset, line in enumerate(lines):
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError:
                refused += 1
                continue
            if event is not None:
                write(row(event, offset))
    print(refused)


if __name__ == "__main__":
    main(*sys.argv[1:])
