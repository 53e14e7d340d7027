"""One crawl: lists and reads the objects, decides on tables and partitions, and writes them to the catalogue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import descriptors, grouping, targets
from .catalogue import Catalogue, Changes
from .grouping import Folder, Object, Table
from .roles import Session
from .settings import Settings
from .targets import Target

Log = Callable[[str, str], None]
"""Writes a line of the crawl's log: a level and a message."""


class Stopped(Exception):
    """The crawler was stopped before it wrote to the catalogue."""


class Crawl:
    """A crawl. `seen` are the folders that earlier crawls have read, as bucket and path, and is added to."""

    def __init__(self, settings: Settings, crawl_id: str, session: Session, seen: set[Folder], log: Log) -> None:
        self._settings = settings
        self._seen = seen
        self._log = log
        self._s3 = session.client("s3")
        self._catalogue = Catalogue(session.client("glue"), settings, crawl_id, log)
        self._incremental = settings.new_folders_only and bool(seen)
        self._read: list[tuple[Target, list[Object], bool]] = []

    @property
    def changes(self) -> Changes:
        return self._catalogue.changes

    def read(self, check: Callable[[], None]) -> None:
        """Reads the targets. Changes nothing. `check` raises `Stopped`."""
        for target in self._settings.targets:
            check()
            contents = targets.read(self._s3, target, lambda folder, of=target: self._wanted(of, folder), check)
            self._read.append((target, contents.objects, contents.is_object))
            for one in contents.objects:
                for name in one.content.dropped:
                    uri = target.location(one.path, folder=False)
                    self._log("WARN", f"{uri} has two columns that differ in case only; {name} is ignored")

    def write(self) -> None:
        """Writes what was read to the catalogue."""
        self._catalogue.open()
        locations = set()
        for target, objects, is_object in self._read:
            for table in self._tables(target, objects, is_object):
                locations.add(self._catalogue.write(target, table))
            self._seen |= {_folder(target, one.folders) for one in objects}
        if self._incremental:
            return
        for table in self._catalogue.own(self._settings.targets):
            if table["StorageDescriptor"]["Location"] not in locations:
                self._catalogue.remove(table)

    def _wanted(self, target: Target, folder: Folder) -> bool:
        return not self._incremental or _folder(target, folder) not in self._seen

    def _tables(self, target: Target, objects: list[Object], is_object: bool) -> list[Table]:
        if is_object:
            return [Table((), tuple(objects), is_object=True)] if objects else []
        if self._incremental:
            objects = self._added_to_tables(target, objects)
        known = [target.root_of(table) for table in self._catalogue.own([target])]
        found = grouping.tables(objects, self._settings.grouping, 1 + len(target.include), known)
        for warning in found.warnings:
            self._log("WARN", f"{target.uri}: {warning}")
        return found.tables

    def _added_to_tables(self, target: Target, objects: list[Object]) -> list[Object]:
        """Adds new folders below known tables as partitions, and returns the objects of the other folders."""
        left = []
        for folder in sorted({one.folders for one in objects}):
            inside = [one for one in objects if one.folders == folder]
            table = self._table_above(target, folder)
            if table is None:
                left += inside
            elif not self._added(target, table, folder, inside):
                uri = target.location(folder, folder=True)
                self._log("WARN", f"{uri} does not match the schema of table {table['Name']} and is ignored")
        return left

    def _table_above(self, target: Target, folder: Folder) -> dict[str, Any] | None:
        """The known table with the deepest location above `folder`."""
        for depth in range(len(folder), -1, -1):
            table = self._catalogue.at(target.location(folder[:depth], folder=True))
            if table is not None:
                return table
        return None

    def _added(self, target: Target, table: dict[str, Any], folder: Folder, objects: list[Object]) -> bool:
        root = target.root_of(table)
        values = grouping.partition_values(folder[len(root) :])
        known = [column["Name"] for column in table["StorageDescriptor"]["Columns"]]
        schemas = [known, *(list(one.content.columns) for one in objects)]
        formats = {one.content.classification for one in objects}
        fits = grouping.compatible(objects, self._settings.grouping) and grouping.columns.similar(schemas)
        if (
            not fits
            or formats != {table["Parameters"].get("classification")}
            or len(values) != len(table["PartitionKeys"])
        ):
            return False
        partition = grouping.Partition(values, folder, tuple(objects))
        partitions = Table(root, tuple(objects), tuple(values), (partition,))
        self._catalogue.add_partitions(table, descriptors.partition_inputs(self._settings.crawler, target, partitions))
        return True


def _folder(target: Target, folder: Folder) -> Folder:
    return (target.bucket, *target.include, *folder)
