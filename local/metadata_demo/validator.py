"""Validates metadata against the documentation of Kendra and Bedrock, independently of metadata-fixer.

Kendra: Developer Guide, "Amazon S3 document metadata" and "Creating custom document attributes"; API Reference,
`DocumentAttribute`, `DocumentAttributeValue`, `Document`. Bedrock: User Guide, "Connect to Amazon S3 for your
knowledge base" and "Document-level access controls".
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any

LISTS = {"_authors", "tags"}
LONGS = {"_excerpt_page_number", "_view_count", "pages"}
DATES = {"_created_at", "_last_updated_at", "valid_until"}
TEXTS = {
    "_category", "_data_source_id", "_document_body", "_document_id", "_document_title", "_faq_id", "_file_type",
    "_language_code", "_source_uri", "_version", "department",
}  # fmt: skip
"""The attributes of the demo's index: predefined attributes of Kendra, and custom attributes."""

_NAME = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9_-]{0,199}")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def instant(text: str) -> datetime:
    """Parses an ISO 8601 instant; Python 3.10 does not parse `Z`."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def kendra(body: bytes) -> list[str]:
    """The reasons why Kendra would reject a metadata file; empty if it is valid."""
    found = _load(body)
    if isinstance(found, str):
        return [found]
    wrong = [f"unknown member {name}" for name in found if name not in _MEMBERS]
    for name in ("DocumentId", "Title", "ContentType"):
        if name in found and not (isinstance(found[name], str) and found[name]):
            wrong.append(f"{name} is not a string")
    for entry in found.get("AccessControlList", []):
        fits = set(entry) == {"Name", "Type", "Access"} and entry["Name"]
        if not fits or entry["Type"] not in ("USER", "GROUP") or entry["Access"] not in ("ALLOW", "DENY"):
            wrong.append(f"the access control list has {entry}")
    attributes = found.get("Attributes", {})
    return wrong + [f"{name} is {value!r}" for name, value in attributes.items() if not _attribute(name, value)]


_MEMBERS = ("DocumentId", "Title", "ContentType", "Attributes", "AccessControlList")


def _attribute(name: str, value: Any) -> bool:
    if not _NAME.fullmatch(name):
        return False
    if name in LISTS:
        return isinstance(value, list) and 0 < len(value) <= 10 and all(map(_text, value))
    if name in LONGS:
        return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    if name in DATES:
        return isinstance(value, str) and bool(_DATE.fullmatch(value)) and instant(value) is not None
    return name in TEXTS and _text(value)


def _text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 2048


def bedrock(body: bytes) -> list[str]:
    """The reasons why Bedrock would reject a metadata file; empty if it is valid."""
    found = _load(body)
    if isinstance(found, str):
        return [found]
    wrong = [] if len(body) <= 10 * 1024 else [f"{len(body)} bytes"]
    if not {"metadataAttributes"} <= set(found) <= {"metadataAttributes", "accessControlList"}:
        return [*wrong, f"its members are {', '.join(found)}"]
    for entry in found.get("accessControlList", []):
        fits = set(entry) == {"Name", "Type", "Access"} and "@" in entry["Name"] and entry["Type"] == "USER"
        if not fits or entry["Access"] not in ("ALLOW", "DENY"):
            wrong.append(f"the access control list has {entry}")
    return wrong + [f"{name} is {value!r}" for name, value in found["metadataAttributes"].items() if not _value(value)]


_TYPED = {"STRING": "stringValue", "NUMBER": "numberValue", "BOOLEAN": "booleanValue", "STRING_LIST": "stringListValue"}


def _value(value: Any) -> bool:
    if isinstance(value, dict):
        inner = value.get("value", {})
        member = _TYPED.get(inner.get("type", ""))
        flagged = isinstance(value.get("includeForEmbedding"), bool)
        if not flagged or set(inner) != {"type", member}:
            return False
        return not isinstance(inner[member], dict) and _value(inner[member])
    if isinstance(value, list):
        return 0 < len(value) <= 10 and all(map(_text, value))
    return isinstance(value, (bool, int, float)) or _text(value)


def _load(body: bytes) -> dict[str, Any] | str:
    if body.startswith(b"\xef\xbb\xbf"):
        return "it starts with a byte order mark"
    try:
        found = json.loads(body.decode("utf-8"))
    except ValueError as failure:
        return f"it is not valid JSON in UTF-8: {failure}"
    return found if isinstance(found, dict) else "it is not a JSON object"


def same(found: Any, wanted: Any) -> bool:
    """True if two files are equal. Instants are equal regardless of their time zone."""
    if isinstance(wanted, dict):
        if not isinstance(found, dict) or set(found) != set(wanted):
            return False
        return all(same(found[name], value) for name, value in wanted.items())
    if isinstance(wanted, str) and _DATE.fullmatch(wanted):
        return isinstance(found, str) and bool(_DATE.fullmatch(found)) and instant(found) == instant(wanted)
    return type(found) is type(wanted) and found == wanted
