"""Writes what a crawl found to the catalogue, in the role of the crawler and by its policies.

Source: Glue developer guide, "Setting crawler configuration options".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import descriptors
from .grouping import Table, table_name
from .settings import Settings
from .targets import Target

BATCH = 100
"""Partitions of a BatchCreatePartition or BatchUpdatePartition (API reference)."""
DEPRECATED = "DEPRECATED_BY_CRAWLER"
"""The parameter of a table whose objects are gone; its value is a time in milliseconds."""
INPUT = ("Name", "Owner", "Description", "Retention", "TableType", "PartitionKeys", "StorageDescriptor", "Parameters")


@dataclass
class Changes:
    """What a crawl changed: names of tables, and numbers of partitions."""

    tables: dict[str, list[str]] = field(default_factory=lambda: {"Created": [], "Updated": [], "Deleted": []})
    partitions: dict[str, int] = field(default_factory=lambda: {"Created": 0, "Updated": 0, "Deleted": 0})

    @property
    def counts(self) -> dict[str, int]:
        """`tablesCreated` … `partitionsDeleted`."""
        tables = {f"tables{what}": len(names) for what, names in self.tables.items()}
        return {**tables, **{f"partitions{what}": count for what, count in self.partitions.items()}}


class Catalogue:
    """The database of a crawler."""

    def __init__(self, client: Any, settings: Settings, crawl_id: str, log: Callable[[str, str], None]) -> None:
        self._glue = client
        self._settings = settings
        self._crawl_id = crawl_id
        self._log = log
        self._database = settings.database
        self.changes = Changes()
        self._known: dict[str, dict[str, Any]] = {}

    def open(self) -> None:
        """Creates the database if it does not exist, as AWS does, and reads its tables."""
        try:
            self._glue.get_database(Name=self._database)
        except self._glue.exceptions.EntityNotFoundException:
            self._glue.create_database(DatabaseInput={"Name": self._database})
        pages = self._glue.get_paginator("get_tables").paginate(DatabaseName=self._database)
        self._known = {table["Name"]: table for page in pages for table in page["TableList"]}

    def at(self, location: str) -> dict[str, Any] | None:
        """The table at `location`, with or without a slash at its end."""
        path = location.rstrip("/")
        return next((table for table in self._known.values() if _location(table).rstrip("/") == path), None)

    def own(self, targets: Sequence[Target]) -> list[dict[str, Any]]:
        """The tables that this crawler made from `targets`."""
        uris = tuple(target.uri for target in targets)
        return [
            table
            for table in self._known.values()
            if table.get("Parameters", {}).get("UPDATED_BY_CRAWLER") == self._settings.crawler
            and f"{_location(table)}/".startswith(uris)
        ]

    def write(self, target: Target, table: Table) -> str:
        """Creates or updates a table and its partitions, and returns its location."""
        location = target.location(table.root, folder=not table.is_object)
        known = self.at(location)
        name = known["Name"] if known else self._free_name(target, table)
        wanted = descriptors.table_input(name, self._settings.crawler, self._crawl_id, target, table)
        if known is None:
            self._glue.create_table(DatabaseName=self._database, TableInput=wanted)
            self.changes.tables["Created"].append(name)
            self._log("INFO", f"Created table {name} in database {self._database}")
            self._known[name] = wanted
        else:
            self._update(known, wanted)
        self._write_partitions(self._known[name], descriptors.partition_inputs(self._settings.crawler, target, table))
        return location

    def add_partitions(self, known: dict[str, Any], partitions: list[dict[str, Any]]) -> None:
        """Adds partitions of new folders to a table, which stays as it is."""
        self._write_partitions(known, partitions, complete=False)

    def remove(self, table: dict[str, Any]) -> None:
        """Does with a table whose objects are gone what the policy says."""
        name, behaviour = table["Name"], self._settings.delete_behavior
        if behaviour == "DELETE_FROM_DATABASE":
            self._glue.delete_table(DatabaseName=self._database, Name=name)
            self.changes.tables["Deleted"].append(name)
        elif behaviour == "DEPRECATE_IN_DATABASE":
            self._deprecate(table)
        self._log("INFO", f"The objects of table {name} are gone; DeleteBehavior is {behaviour}")

    def _deprecate(self, table: dict[str, Any]) -> None:
        if DEPRECATED in table["Parameters"]:
            return
        parameters = {**table["Parameters"], DEPRECATED: str(int(time.time() * 1000))}
        self._glue.update_table(DatabaseName=self._database, TableInput={**_input(table), "Parameters": parameters})
        self.changes.tables["Updated"].append(table["Name"])

    def _update(self, known: dict[str, Any], wanted: dict[str, Any]) -> None:
        name, merge = known["Name"], self._settings.merge_new_columns
        if merge and _format(known) != _format(wanted):
            self._log("WARN", f"The format of table {name} has changed, which MergeNewColumns does not allow")
            self._deprecate(known)
            return
        wanted = _with_new_columns(known, wanted) if merge else wanted
        differs = _schema(known) != _schema(wanted)
        if not merge and self._settings.update_behavior == "LOG":
            if differs:
                self._log("INFO", f"The schema of table {name} has changed; UpdateBehavior is LOG")
            return
        if merge and not differs:
            return
        # # The numbers of records and objects are always written; they are not a change of the schema.
        self._glue.update_table(DatabaseName=self._database, TableInput=wanted)
        self._known[name] = {**known, **wanted}
        if differs:
            self.changes.tables["Updated"].append(name)
            self._log("INFO", f"Updated table {name} in database {self._database}")

    def _write_partitions(self, table: dict[str, Any], wanted: list[dict[str, Any]], complete: bool = True) -> None:
        name, settings = table["Name"], self._settings
        if len(table.get("PartitionKeys", [])) != (len(wanted[0]["Values"]) if wanted else 0):
            self._log("WARN", f"The folders do not match the partition keys of table {name}; its partitions stay")
            return
        if settings.inherit_from_table:
            wanted = [_inheriting(partition, table) for partition in wanted]
        pages = self._glue.get_paginator("get_partitions").paginate(DatabaseName=self._database, TableName=name)
        known = {tuple(found["Values"]): found for page in pages for found in page["Partitions"]}
        new = [partition for partition in wanted if tuple(partition["Values"]) not in known]
        changed = [
            partition
            for partition in wanted
            if (found := known.get(tuple(partition["Values"]))) is not None and _schema(found) != _schema(partition)
        ]
        for batch in _batches(new):
            place = {"DatabaseName": self._database, "TableName": name}
            _complete(self._glue.batch_create_partition(**place, PartitionInputList=batch))
        self.changes.partitions["Created"] += len(new)
        if settings.update_behavior != "LOG" or settings.inherit_from_table:
            entries = [{"PartitionValueList": one["Values"], "PartitionInput": one} for one in changed]
            for batch in _batches(entries):
                place = {"DatabaseName": self._database, "TableName": name}
                _complete(self._glue.batch_update_partition(**place, Entries=batch))
            self.changes.partitions["Updated"] += len(changed)
        gone = set(known) - {tuple(partition["Values"]) for partition in wanted}
        if complete and gone:
            self._remove_partitions(name, sorted(gone))

    def _remove_partitions(self, table: str, gone: list[tuple[str, ...]]) -> None:
        behaviour = self._settings.delete_behavior
        if behaviour == "DELETE_FROM_DATABASE":
            for values in gone:
                self._glue.delete_partition(DatabaseName=self._database, TableName=table, PartitionValues=list(values))
            self.changes.partitions["Deleted"] += len(gone)
        self._log(
            "INFO", f"The objects of {len(gone)} partitions of table {table} are gone; DeleteBehavior is {behaviour}"
        )

    def _free_name(self, target: Target, table: Table) -> str:
        return table_name(self._settings.prefix, table, target.bucket, target.include, self._known)


def _location(table: dict[str, Any]) -> str:
    return str(table.get("StorageDescriptor", {}).get("Location", ""))


def _input(table: dict[str, Any]) -> dict[str, Any]:
    """The members of a table that UpdateTable takes."""
    return {name: table[name] for name in INPUT if table.get(name) is not None}


def _complete(response: dict[str, Any]) -> None:
    """A batch operation succeeds with a list of entries that failed."""
    if response.get("Errors"):
        raise RuntimeError(f"{len(response['Errors'])} partitions were not written: {response['Errors'][0]}")


def _schema(entry: dict[str, Any]) -> Any:
    """Everything that a crawl writes, without statistics."""
    descriptor, parameters = entry["StorageDescriptor"], entry.get("Parameters", {})
    return (
        [(column["Name"], column["Type"]) for column in descriptor["Columns"]],
        [key["Name"] for key in entry.get("PartitionKeys", [])],
        descriptor["SerdeInfo"],
        descriptor["Location"],
        _format(entry),
        parameters.get(DEPRECATED),
    )


def _format(entry: dict[str, Any]) -> list[Any]:
    """The attributes that all objects of a table or a partition have in common."""
    names = ("classification", "compressionType", "delimiter", "skip.header.line.count")
    return [entry.get("Parameters", {}).get(name) for name in names]


def _with_new_columns(known: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """The known table with the columns that it does not have yet."""
    descriptor = known["StorageDescriptor"]
    names = {column["Name"] for column in descriptor["Columns"]}
    new = [column for column in wanted["StorageDescriptor"]["Columns"] if column["Name"] not in names]
    serde = wanted["StorageDescriptor"]["SerdeInfo"] if new else descriptor["SerdeInfo"]
    merged = {**descriptor, "Columns": [*descriptor["Columns"], *new], "SerdeInfo": serde}
    return {**_input(known), "StorageDescriptor": merged}


def _inheriting(partition: dict[str, Any], table: dict[str, Any]) -> dict[str, Any]:
    """The partition with everything of its table but the location."""
    location = partition["StorageDescriptor"]["Location"]
    descriptor = {**table["StorageDescriptor"], "Location": location}
    return {**partition, "StorageDescriptor": descriptor, "Parameters": dict(table["Parameters"])}


def _batches(entries: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(entries), BATCH):
        yield entries[start : start + BATCH]
