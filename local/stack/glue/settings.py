"""The settings of a crawler: what AWS refuses, what the local stack does not have, and the defaults."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from . import globs
from .grouping import Policy
from .refusals import invalid, not_here
from .targets import Target

DEFAULT_POLICY = {"UpdateBehavior": "UPDATE_IN_DATABASE", "DeleteBehavior": "DEPRECATE_IN_DATABASE"}
"""Glue developer guide, "Setting crawler configuration options"."""
MAX_SAMPLE = 249
"""API reference, `SampleSize`: between 1 and 249."""

NEW_FOLDERS = "CRAWL_NEW_FOLDERS_ONLY"

_OPTIONS: dict[tuple[str, ...], tuple[str, ...] | type] = {
    ("CrawlerOutput", "Partitions", "AddOrUpdateBehavior"): ("InheritFromTable",),
    ("CrawlerOutput", "Tables", "AddOrUpdateBehavior"): ("MergeNewColumns",),
    ("Grouping", "TableGroupingPolicy"): ("CombineCompatibleSchemas",),
    ("Grouping", "TableLevelConfiguration"): int,
}
"""The options of `Configuration`, and their values."""


@dataclass(frozen=True)
class Settings:
    """What a crawl needs to know of its crawler."""

    crawler: str
    role: str
    database: str
    prefix: str
    targets: tuple[Target, ...]
    update_behavior: str
    delete_behavior: str
    new_folders_only: bool
    inherit_from_table: bool
    merge_new_columns: bool
    grouping: Policy

    @classmethod
    def of(cls, crawler: dict[str, Any]) -> Settings:
        """The settings of a stored crawler. Raises `Refused` if the crawler is not valid or not possible here."""
        policy = {**DEFAULT_POLICY, **(crawler.get("SchemaChangePolicy") or {})}
        behavior = (crawler.get("RecrawlPolicy") or {}).get("RecrawlBehavior", "CRAWL_EVERYTHING")
        options = _options(crawler.get("Configuration") or "")
        _refuse_absent(crawler, behavior)
        if behavior == NEW_FOLDERS and set(policy.values()) != {"LOG"}:
            raise invalid(
                'The SchemaChangePolicy for "Crawl new folders only" Amazon S3 target can have only LOG DeleteBehavior '
                "value and LOG UpdateBehavior value."
            )
        if not crawler.get("DatabaseName"):
            raise invalid("DatabaseName is required for S3 targets")
        return cls(
            crawler=crawler["Name"],
            role=crawler["Role"],
            database=crawler["DatabaseName"].lower(),
            prefix=crawler.get("TablePrefix") or "",
            targets=tuple(_target(target) for target in crawler["Targets"]["S3Targets"]),
            update_behavior=policy["UpdateBehavior"],
            delete_behavior=policy["DeleteBehavior"],
            new_folders_only=behavior == NEW_FOLDERS,
            inherit_from_table="InheritFromTable" in options.values(),
            merge_new_columns="MergeNewColumns" in options.values(),
            grouping=Policy(
                combine="CombineCompatibleSchemas" in options.values(),
                level=options.get(("Grouping", "TableLevelConfiguration")),
            ),
        )


def _refuse_absent(crawler: dict[str, Any], behavior: str) -> None:
    targets = {name: value for name, value in (crawler.get("Targets") or {}).items() if value}
    if not targets:
        raise invalid("At least one target is required")
    others = sorted(set(targets) - {"S3Targets"})
    if others:
        raise not_here(f"{others[0]} of a crawler, only S3Targets")
    if behavior == "CRAWL_EVENT_MODE":
        raise not_here("CRAWL_EVENT_MODE of a crawler")
    for name in ("Classifiers", "CrawlerSecurityConfiguration", "Schedule"):
        if crawler.get(name):
            raise not_here(f"{name} of a crawler")
    if (crawler.get("LakeFormationConfiguration") or {}).get("UseLakeFormationCredentials"):
        raise not_here("Lake Formation credentials of a crawler")


def _target(target: dict[str, Any]) -> Target:
    path = target.get("Path", "")
    if not path.startswith("s3://") or not path.removeprefix("s3://").partition("/")[0]:
        raise invalid(f"The path of an S3 target must be s3://bucket/folder, not {path!r}")
    for name in ("ConnectionName", "EventQueueArn", "DlqEventQueueArn"):
        if target.get(name):
            raise not_here(f"{name} of an S3 target")
    if not 1 <= target.get("SampleSize", 1) <= MAX_SAMPLE:
        raise invalid(f"SampleSize must be between 1 and {MAX_SAMPLE}, not {target['SampleSize']}")
    for pattern in target.get("Exclusions", []):
        try:
            globs.compiled(pattern)
        except globs.InvalidPattern as failure:
            raise invalid(f"Exclusions: {failure}") from None
    return Target.of(target)


def _options(text: str) -> dict[tuple[str, ...], Any]:
    """The options of the `Configuration` by path."""
    if not text:
        return {}
    try:
        document = json.loads(text)
    except ValueError as failure:
        raise invalid(f"Configuration is not valid JSON: {failure}") from None
    if not isinstance(document, dict) or document.get("Version") != 1.0:
        raise invalid('Configuration needs "Version": 1.0')
    found = dict(_flat({name: value for name, value in document.items() if name != "Version"}))
    for path, value in found.items():
        allowed = _OPTIONS.get(path)
        if allowed is None:
            raise not_here(f"{'.'.join(path)} of the Configuration of a crawler")
        if isinstance(allowed, type):
            if not isinstance(value, allowed) or isinstance(value, bool) or value < 1:
                raise invalid(f"{'.'.join(path)} must be a positive integer, not {value!r}")
        elif value not in allowed:
            raise invalid(f"{'.'.join(path)} must be one of {', '.join(allowed)}, not {value!r}")
    return found


def _flat(document: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """The leaves of a JSON document, each with its path."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, value in document.items():
        inner = (*path, name)
        found += _flat(value, inner) if isinstance(value, dict) else [(inner, value)]
    return found
