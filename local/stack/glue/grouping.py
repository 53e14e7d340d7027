"""Decides which objects are a table, and which folders are its partitions.

Sources: Glue developer guide, "How does a crawler determine when to create partitions?", "How to create a single schema
for each Amazon S3 include path", "How to specify the table location and partitioning level". Where AWS asks for a
*majority* of similar schemas, this module asks for all: otherwise each folder, and each object beside it, is a table.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from . import columns
from .formats import UNKNOWN, Content

NAME_LENGTH = 128
"""Characters of a table's name (Glue developer guide, "How crawlers work")."""


Folder = tuple[str, ...]
"""A path relative to the include path, split at the slashes."""


@dataclass(frozen=True)
class Object:
    """A classified object. `path` is its key, as a `Folder`."""

    path: Folder
    size: int
    content: Content

    @property
    def folders(self) -> Folder:
        return self.path[:-1]


@dataclass(frozen=True)
class Partition:
    """A folder of a table: its values, and its objects."""

    values: tuple[str, ...]
    folders: Folder
    objects: tuple[Object, ...]


@dataclass(frozen=True)
class Table:
    """A table. `root` is a folder, or an object for a table of one object, relative to the include path."""

    root: Folder
    objects: tuple[Object, ...]
    keys: tuple[str, ...] = ()
    partitions: tuple[Partition, ...] = ()
    is_object: bool = False

    @property
    def content(self) -> Content:
        """The content of its first object, for what is common to all."""
        return self.objects[0].content


@dataclass(frozen=True)
class Policy:
    """The `Grouping` of a crawler's configuration."""

    combine: bool = False
    level: int | None = None
    """The number of the path's level at which tables are; the bucket is 1."""


@dataclass
class Found:
    """Tables, and what the log says about objects that are not in a table."""

    tables: list[Table] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def tables(
    objects: Sequence[Object], policy: Policy, include_level: int, known: Iterable[Folder] = frozenset()
) -> Found:
    """The tables of an include path, which is at level `include_level` (1 for a whole bucket).

    `known` are the roots of tables of earlier crawls. A folder above one of them does not become a table.
    """
    found = Found()
    above = frozenset(root[:depth] for root in known for depth in range(len(root)))
    for one in objects:
        if one.content.classification == UNKNOWN:
            found.warnings.append(f"{'/'.join(one.path)} has no format that a built-in classifier knows")
    readable = [one for one in objects if one.content.classification != UNKNOWN]
    if policy.level is None or policy.level <= include_level:
        _split((), readable, policy, above, found)
        return found
    depth = policy.level - include_level
    for root in sorted({one.folders[:depth] for one in readable}):
        inside = [one for one in readable if one.folders[:depth] == root]
        if len(root) < depth:
            found.warnings.append(f"{'/'.join(root) or 'the include path'} is above the table level {policy.level}")
        else:
            _split(root, inside, policy, above, found)
    return found


def partition_values(folders: Sequence[str]) -> tuple[str, ...]:
    """The values of a partition: `key=value` or the name of the folder."""
    return tuple(folder.partition("=")[2] if _is_hive(folder) else folder for folder in folders)


def compatible(objects: Iterable[Object], policy: Policy) -> bool:
    """True if the objects can be one table: one format, and similar schemas unless `policy` combines them."""
    contents = [one.content for one in objects]
    if len({content.kind for content in contents}) > 1:
        return False
    return policy.combine or columns.similar(content.columns for content in contents)


def table_name(prefix: str, table: Table, bucket: str, include: Sequence[str], taken: Iterable[str]) -> str:
    """The name of a table: its folder or object; with a hash if the name is taken."""
    path = [bucket, *include, *table.root]
    base = re.sub(r"[^a-z0-9_]", "_", (prefix + path[-1]).lower())[:NAME_LENGTH]
    if base not in taken:
        return base
    digest = hashlib.md5("/".join(path).encode(), usedforsecurity=False).hexdigest()
    return f"{base[: NAME_LENGTH - len(digest) - 1]}_{digest}"


def _split(root: Folder, objects: Sequence[Object], policy: Policy, above: frozenset[Folder], found: Found) -> None:
    """The table at `root`, or those below it. There are none at the folders `above`."""
    depths = {len(one.folders) for one in objects}
    if len(depths) == 1 and root not in above and compatible(objects, policy):
        found.tables.append(_table(root, objects))
        return
    direct = [one for one in objects if one.folders == root]
    for one in direct:
        found.tables.append(Table(one.path, (one,), is_object=True))
    below = [one for one in objects if one.folders != root]
    for folder in sorted({one.folders[: len(root) + 1] for one in below}):
        _split(folder, [one for one in below if one.folders[: len(folder)] == folder], policy, above, found)


def _table(root: Folder, objects: Sequence[Object]) -> Table:
    levels = list(zip(*(one.folders[len(root) :] for one in objects), strict=True))
    keys: list[str] = []
    for index, names in enumerate(levels):
        hive = {name.partition("=")[0].lower() for name in names if _is_hive(name)}
        single = len(hive) == 1 and all(_is_hive(name) for name in names)
        keys.append(hive.pop() if single else f"partition_{index}")
    partitions = []
    for folders in sorted({one.folders for one in objects}) if keys else []:
        inside = tuple(one for one in objects if one.folders == folders)
        partitions.append(Partition(partition_values(folders[len(root) :]), folders, inside))
    return Table(root, tuple(objects), tuple(keys), tuple(partitions))


def _is_hive(folder: str) -> bool:
    key, sign, value = folder.partition("=")
    return bool(key and sign and value)
