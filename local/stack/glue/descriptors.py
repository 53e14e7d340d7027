"""The tables and partitions that a crawler writes, in the notation of the catalogue.

Serializers, formats and parameters are those of tables that crawlers of AWS made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from . import columns
from .grouping import Object, Table
from .targets import Target

_TEXT = ("org.apache.hadoop.mapred.TextInputFormat", "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat")
_PARQUET = (
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
)
SERDES = {
    "csv": ("org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe", *_TEXT),
    "json": ("org.openx.data.jsonserde.JsonSerDe", *_TEXT),
    "parquet": ("org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe", *_PARQUET),
}
"""Serialization library, input format and output format by classification."""


def table_input(name: str, crawler: str, crawl_id: str, target: Target, table: Table) -> dict[str, Any]:
    location = target.location(table.root, folder=not table.is_object)
    descriptor = descriptor_of(location, crawler, table.objects)
    parameters = {**descriptor["Parameters"], "CRAWL_RUN_ID": crawl_id}
    if table.keys:
        parameters["partition_filtering.enabled"] = "true"
    if target.exclusions:
        parameters["exclusions"] = json.dumps([f"{target.uri}{pattern}" for pattern in target.exclusions])
    return {
        "Name": name,
        "Owner": "owner",
        "Retention": 0,
        "TableType": "EXTERNAL_TABLE",
        "PartitionKeys": [{"Name": key, "Type": "string"} for key in table.keys],
        "StorageDescriptor": {**descriptor, "Parameters": parameters},
        "Parameters": parameters,
    }


def partition_inputs(crawler: str, target: Target, table: Table) -> list[dict[str, Any]]:
    found = []
    for partition in table.partitions:
        location = target.location(partition.folders, folder=True)
        descriptor = descriptor_of(location, crawler, partition.objects)
        found.append(
            {
                "Values": list(partition.values),
                "StorageDescriptor": descriptor,
                "Parameters": dict(descriptor["Parameters"]),
            }
        )
    return found


def descriptor_of(location: str, crawler: str, objects: Sequence[Object]) -> dict[str, Any]:
    """The storage of a table or a partition that consists of `objects`."""
    content = objects[0].content
    library, input_format, output_format = SERDES[content.classification]
    return {
        "Columns": [
            {"Name": name, "Type": columns.text_of(kind)}
            for name, kind in columns.union(one.content.columns for one in objects).items()
        ],
        "Location": location,
        "InputFormat": input_format,
        "OutputFormat": output_format,
        "Compressed": content.compression != "none",
        "NumberOfBuckets": -1,
        "SerdeInfo": {"SerializationLibrary": library, "Parameters": _serde_parameters(objects)},
        "BucketColumns": [],
        "SortColumns": [],
        "Parameters": _parameters(crawler, objects),
        "StoredAsSubDirectories": False,
    }


def _serde_parameters(objects: Sequence[Object]) -> dict[str, str]:
    content = objects[0].content
    if content.classification == "csv":
        return {"field.delim": content.delimiter}
    if content.classification == "json":
        return {"paths": ",".join(sorted(_names(objects)))}
    return {"serialization.format": "1"}


def _names(objects: Iterable[Object]) -> set[str]:
    """The names in the files, one for each column."""
    return {name for one in objects for name in one.content.names if name not in one.content.dropped}


def _parameters(crawler: str, objects: Sequence[Object]) -> dict[str, str]:
    content = objects[0].content
    size, records = sum(one.size for one in objects), sum(one.content.records for one in objects)
    found = {
        "CrawlerSchemaDeserializerVersion": "1.0",
        "CrawlerSchemaSerializerVersion": "1.0",
        "UPDATED_BY_CRAWLER": crawler,
        "averageRecordSize": str(size // records if records else 0),
        "classification": content.classification,
        "compressionType": content.compression,
        "objectCount": str(len(objects)),
        "recordCount": str(records),
        "sizeKey": str(size),
        "typeOfData": "file",
    }
    if content.classification == "csv":
        found |= {"areColumnsQuoted": "false", "columnsOrdered": "true", "delimiter": content.delimiter}
        if content.header:
            found["skip.header.line.count"] = "1"
    return dict(sorted(found.items()))
