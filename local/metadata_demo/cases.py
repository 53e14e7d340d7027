"""Metadata files with typical errors, and the content that an index needs instead.

Each case contains its expected result, which is defined independently of shiftwork.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

PER_KIND = 8
"""Documents per kind of error that can be fixed."""

UNFIXABLE = 4
"""Documents per kind of error that only a person can fix."""

CLOSED = {"AccessControlList": [{"Name": "quarantine@shiftwork.invalid", "Type": "USER", "Access": "ALLOW"}]}
"""The stub of a document whose access control list is not clear: no user may find the document."""

BERLIN = timezone(timedelta(hours=1))
"""The UTC offset in winter; all dates of the demo are in winter."""


@dataclass(frozen=True)
class Case:
    """A document, its uploaded metadata, and the expected result.

    `wanted` is None if only a person can fix the metadata. Metadata that says who may see the document then leaves a
    stub at its target key: `stub`.
    """

    wrong: str
    document: str
    key: str
    body: bytes
    target: str
    wanted: dict[str, Any] | None
    document_first: bool = True
    stub: dict[str, Any] | None = None


def every() -> list[Case]:
    """The whole repository: every kind of error, several times."""
    cases = [make(number) for make in (*KENDRA, *BEDROCK) for number in range(PER_KIND)]
    cases = [case for number, case in enumerate(cases) if case.wanted is not None or number % PER_KIND < UNFIXABLE]
    assert len({case.document for case in cases}) == len(cases)
    return cases


def _created(number: int) -> datetime:
    return datetime(2026, 1, 5, 8, 30, tzinfo=BERLIN) + timedelta(days=number, minutes=number)


def _attributes(number: int, **others: Any) -> dict[str, Any]:
    return {"_category": "HR", "department": f"Team {number}", **others}


def _kendra(
    name: str,
    wrong: str,
    make: Callable[[int], tuple[Any, dict[str, Any] | None]],
    place: str = "{document}.meta.json",
    *,
    encoding: str = "utf-8",
    document_first: Callable[[int], bool] = lambda _: True,
    repository: str = "handbook",
) -> Callable[[int], Case]:
    def make_case(number: int) -> Case:
        stem = f"{repository}/{name}/Blatt {number} ü"
        source, wanted = make(number)
        text = source if isinstance(source, str) else json.dumps(source, ensure_ascii=False)
        document = f"{stem}.pdf"
        has_list = wanted is None and isinstance(source, dict) and "AccessControlList" in source
        key = place.format(document=document, below=document.removeprefix("handbook/"), stem=stem)
        target = f"metadata/{document}.metadata.json"
        stub = CLOSED if has_list else None
        return Case(wrong, document, key, text.encode(encoding), target, wanted, document_first(number), stub)

    return make_case


def _bedrock(
    name: str,
    wrong: str,
    make: Callable[[int], tuple[Any, dict[str, Any] | None]],
    place: str = "{document}.json",
    repository: str = "research",
) -> Callable[[int], Case]:
    def make_case(number: int) -> Case:
        document = f"{repository}/{name}/paper-{number}.md"
        source, wanted = make(number)
        target = f"{document}.metadata.json"
        return Case(wrong, document, place.format(document=document), json.dumps(source).encode(), target, wanted)

    return make_case


def _in_attributes(field: str, wrong: Callable[[int], Any], right: Callable[[int], Any]) -> Callable[[int], Any]:
    def make(number: int) -> tuple[Any, dict[str, Any]]:
        source = {"Title": f"Sheet {number}", "Attributes": _attributes(number, **{field: wrong(number)})}
        return source, {"Title": f"Sheet {number}", "Attributes": _attributes(number, **{field: right(number)})}

    return make


def _right(number: int) -> tuple[Any, dict[str, Any]]:
    wanted = {"Title": f"Sheet {number}", "Attributes": _attributes(number, _version="1.10")}
    return wanted, wanted


def _by_hand(number: int) -> tuple[str, dict[str, Any]]:
    wanted = {"Title": f"Sheet {number}", "Attributes": {"_version": "2", "_view_count": number}}
    text = json.dumps(dict(reversed(list(wanted.items()))), indent="\t").replace("\n", "\r\n")
    return text, wanted


def _own_names(number: int) -> tuple[Any, dict[str, Any]]:
    at = _created(number)
    source = {"title": f"Sheet {number}", "Author(s)": "Jane Doe", "Section": "HR", "Created": at.strftime("%d %b %Y")}
    day = at.replace(hour=0, minute=0).isoformat()
    attributes = {"_authors": ["Jane Doe"], "_category": "HR", "_created_at": day}
    return {**source, "internal_id": number}, {"Title": f"Sheet {number}", "Attributes": attributes}


def _of_bedrock(number: int) -> tuple[Any, dict[str, Any]]:
    typed = {"value": {"type": "STRING", "stringValue": "HR"}, "includeForEmbedding": True}
    source = {"metadataAttributes": {"_document_title": f"Sheet {number}", "_category": typed, "pages": number}}
    return source, {"Title": f"Sheet {number}", "Attributes": {"_category": "HR", "pages": number}}


def _access(of: str) -> Callable[[int], Any]:
    def make(number: int) -> tuple[Any, dict[str, Any] | None]:
        source = {"AccessControlList": [{"name": f"group-{number}", "type": of, "access": "allow"}]}
        right = {"AccessControlList": [{"Name": f"group-{number}", "Type": "GROUP", "Access": "ALLOW"}]}
        return source, right if of == "group" else None

    return make


def _unfixable(source: Any) -> Callable[[int], Any]:
    return lambda _: (source, None)


KENDRA = (
    _kendra("number", "_version is a number", _in_attributes("_version", lambda n: n + 1, lambda n: str(n + 1))),
    _kendra(
        "german",
        "a date as 05.01.2026 08:30",
        _in_attributes("_created_at", lambda n: f"{_created(n):%d.%m.%Y %H:%M}", lambda n: _created(n).isoformat()),
    ),
    _kendra(
        "seconds",
        "a date in seconds since 1970",
        _in_attributes("_last_updated_at", lambda n: int(_created(n).timestamp()), lambda n: _created(n).isoformat()),
    ),
    _kendra(
        "millis",
        "a date in milliseconds since 1970",
        _in_attributes("_created_at", lambda n: int(_created(n).timestamp() * 1000), lambda n: _created(n).isoformat()),
    ),
    _kendra("views", "_view_count is a string", _in_attributes("_view_count", lambda n: f" {n}", lambda n: n)),
    _kendra(
        "authors",
        "_authors is a single string",
        _in_attributes("_authors", lambda n: f"Jane Doe; Max {n}", lambda n: ["Jane Doe", f"Max {n}"]),
    ),
    _kendra("own", "field names of the repository", _own_names),
    _kendra("marked", "UTF-8 with a byte order mark", _right, encoding="utf-8-sig"),
    _kendra("wide", "UTF-16", _right, encoding="utf-16"),
    _kendra("folder", "in a metadata folder", _right, "handbook/_meta/{below}.json"),
    _kendra(
        "stem",
        "named by the stem",
        _right,
        "{stem}.json",
        document_first=lambda number: number % 2 == 0,
        repository="notes",
    ),
    _kendra("beside", "next to the document, not under the prefix", _right, "{document}.metadata.json"),
    _kendra("moved", "written for Bedrock", _of_bedrock),
    _kendra("access", "an access control list in lower case", _access("group")),
    _kendra("right", "none", _right, "metadata/{document}.metadata.json"),
    _kendra("layout", "none, only another layout", _by_hand, "metadata/{document}.metadata.json"),
    _kendra(
        "place",
        "at the target key, a number instead of a string",
        _in_attributes("_version", lambda n: n, str),
        "metadata/{document}.metadata.json",
    ),
    _kendra("broken", "invalid JSON", _unfixable('{"Title": "Sheet",}')),
    _kendra("someday", "a date that cannot be parsed", _unfixable({"Attributes": {"_created_at": "next week"}})),
    _kendra("colour", "an attribute that the index does not have", _unfixable({"Attributes": {"colour": "red"}})),
    _kendra(
        "crowd", "a list of eleven strings", _unfixable({"Attributes": {"_authors": [f"A {n}" for n in range(11)]}})
    ),
    _kendra("role", "an access control list of roles", _access("role")),
)


def _flat(number: int) -> tuple[Any, dict[str, Any]]:
    at = datetime(2026, 2, 1 + number, tzinfo=timezone.utc)
    source = {"Published": f"{at:%m/%d/%Y}", "Authors": ["Jane Doe"], "score": "0.50", "topic": "warehouses"}
    wanted = {"_created_at": int(at.timestamp()), "_authors": ["Jane Doe"], "score": 0.5, "topic": "warehouses"}
    return source, {"metadataAttributes": wanted}


def _of_kendra(number: int) -> tuple[Any, dict[str, Any]]:
    access = [{"Name": "lab", "Type": "GROUP", "Access": "ALLOW"}, {"Name": "max", "Type": "USER", "Access": "DENY"}]
    attributes = {"_category": "ELT", "_view_count": number}
    source = {"DocumentId": f"p-{number}", "Title": f"Paper {number}"}
    source = {**source, "Attributes": attributes, "AccessControlList": access}
    typed = {"value": {"type": "STRING", "stringValue": "ELT"}, "includeForEmbedding": True}
    parts = {"_document_id": f"p-{number}", "_document_title": f"Paper {number}"}
    lists = {"_allowed_groups": ["lab"], "_denied_users": ["max"]}
    return source, {"metadataAttributes": {**parts, **lists, "_category": typed, "_view_count": number}}


def _migrated(number: int) -> tuple[Any, dict[str, Any]]:
    source, _ = _of_kendra(number)
    users = [("jane@example.com", "ALLOW"), ("ada@example.com", "ALLOW"), ("max@example.com", "DENY")]
    entries = [{"Name": name, "Type": "USER", "Access": access} for name, access in users]
    parts = {"_document_id": f"p-{number}", "_document_title": f"Paper {number}"}
    attributes = {**parts, "_category": "ELT", "_view_count": number}
    return source, {"metadataAttributes": attributes, "accessControlList": entries}


def _flag(_: int) -> tuple[Any, dict[str, Any]]:
    source = {"peer_reviewed": "TRUE", "gone": None}
    return {"metadataAttributes": source}, {"metadataAttributes": {"peer_reviewed": True}}


def _fits(number: int) -> tuple[Any, dict[str, Any]]:
    wanted = {"metadataAttributes": {"topic": "lakes", "number": number, "open": True, "parts": ["a", "b"]}}
    return wanted, wanted


def _typed(number: int) -> tuple[Any, dict[str, Any]]:
    value = {"value": {"type": "NUMBER", "numberValue": number / 4}, "includeForEmbedding": False}
    return {"metadataAttributes": {"score": value}}, {"metadataAttributes": {"score": value}}


def _large(_: int) -> tuple[Any, None]:
    return {"metadataAttributes": {f"part_{part}": "x" * 2000 for part in range(6)}}, None


BEDROCK = (
    _bedrock("flat", "fields of a repository, for Bedrock", _flat),
    _bedrock("kendra", "written for Kendra", _of_kendra),
    _bedrock("migrated", "a list of Kendra, for Bedrock", _migrated, "{document}.kendra.json", "policies"),
    _bedrock("flag", "a boolean as a string, and a null", _flag),
    _bedrock("fits", "none, for Bedrock", _fits, "{document}.metadata.json"),
    _bedrock("typed", "none, for Bedrock, with types", _typed, "{document}.metadata.json"),
    _bedrock("large", "more than 10 KB, for Bedrock", _large),
)
