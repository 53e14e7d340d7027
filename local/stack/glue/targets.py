"""Lists and reads the objects of an S3 target, in the role of the crawler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from . import formats, globs
from .grouping import Folder, Object


@dataclass(frozen=True)
class Target:
    """An S3 target. The include path is a bucket, a folder or an object; a slash at its end makes no difference."""

    bucket: str
    include: Folder
    exclusions: tuple[str, ...] = ()
    sample: int | None = None
    """How many objects of each folder are read; the others are taken as similar."""

    @classmethod
    def of(cls, target: dict[str, Any]) -> Target:
        bucket, _, path = target["Path"].removeprefix("s3://").partition("/")
        include = tuple(part for part in path.split("/") if part)
        return cls(bucket, include, tuple(target.get("Exclusions", [])), target.get("SampleSize"))

    @property
    def uri(self) -> str:
        return self.location((), folder=True)

    def location(self, path: Folder, folder: bool) -> str:
        """The URI of a path below the include path."""
        return "s3://" + "/".join([self.bucket, *self.include, *path]) + ("/" if folder else "")

    def root_of(self, table: dict[str, Any]) -> Folder:
        """The path of a table of the catalogue below the include path."""
        location = table["StorageDescriptor"]["Location"].removeprefix(self.uri)
        return tuple(part for part in location.split("/") if part)


@dataclass
class Contents:
    """The classified objects of a target. `is_object`: the include path is the key of one object."""

    objects: list[Object] = field(default_factory=list)
    is_object: bool = False


def read(s3: Any, target: Target, wanted: Callable[[Folder], bool], check: Callable[[], None]) -> Contents:
    """Reads the objects in the folders for which `wanted` is true. `check` raises an error to stop."""
    found, read_in = Contents(), dict[Folder, int]()
    patterns = list(target.exclusions)
    for key, size in _listed(s3, target):
        check()
        path = tuple(key.split("/"))[len(target.include) :]
        if not path:
            found.is_object, path = True, (target.include[-1],)
        if globs.excluded("/".join(path), patterns) or not wanted(path[:-1]):
            continue
        count = read_in[path[:-1]] = read_in.get(path[:-1], 0) + 1
        if target.sample is not None and count > target.sample:
            continue
        found.objects.append(Object(path, size, formats.classify(_body(s3, target.bucket, key, size), size)))
    return found


def _listed(s3: Any, target: Target) -> Iterator[tuple[str, int]]:
    """Key and size of each object. Markers of folders and empty objects have no schema."""
    prefix = "/".join(target.include)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=target.bucket, Prefix=prefix):
        for item in page.get("Contents", []):
            key = item["Key"]
            inside = not prefix or key == prefix or key.startswith(f"{prefix}/")
            if inside and item["Size"] and not key.endswith("/"):
                yield key, item["Size"]


def _body(s3: Any, bucket: str, key: str, size: int) -> bytes:
    """The beginning of an object; the whole object if it is in Parquet, whose schema is at the end."""
    if size <= formats.SAMPLE:
        return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    body: bytes = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{formats.SAMPLE - 1}")["Body"].read()
    return bytes(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) if body[:4] == b"PAR1" else body
