"""dlt: events as rows, loaded into its `filesystem` destination as compressed CSV. Usage: dlt_filesystem.py EVENTS OUTPUT

OUTPUT is a directory. dlt adds the column that is not declared to its schema. Its only compression is gzip.
"""

import os
import sys
from datetime import date, datetime, timedelta, timezone

# One worker each, so that dlt uses one core like the other subjects.
os.environ.update(
    EXTRACT__WORKERS="1",
    NORMALIZE__WORKERS="1",
    LOAD__WORKERS="1",
    RUNTIME__DLTHUB_TELEMETRY="false",
)

import dlt
import orjson

OPERATIONS = {"c": "create", "u": "update", "d": "delete", "r": "read"}
DAY_ONE = date(1970, 1, 1)
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def instant(microseconds):
    return EPOCH + timedelta(microseconds=microseconds)


@dlt.resource(name="orders", write_disposition="append")
def orders(events):
    with open(events, "rb", buffering=1 << 20) as lines:
        for offset, line in enumerate(lines):
            try:
                event = orjson.loads(line)
            except orjson.JSONDecodeError:
                continue
            if event is None:
                continue
            row = event["before"] if event["op"] == "d" else event["after"]
            row["ordered_on"] = DAY_ONE + timedelta(days=row["ordered_on"])
            row["created_at"] = instant(row["created_at"])
            row["updated_at"] = instant(row["updated_at"])
            row["dw_md_changed_at"] = instant(event["source"]["ts_us"])
            row["dw_md_operation"] = OPERATIONS[event["op"]]
            row["dw_md_offset"] = offset
            yield row


def main(events, output):
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=f"{output}/pipeline",
        destination=dlt.destinations.filesystem(bucket_url=f"file://{output}/loaded"),
        dataset_name="bench",
    )
    pipeline.run(orders(events), loader_file_format="csv")


if __name__ == "__main__":
    main(*sys.argv[1:])
