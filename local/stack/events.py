"""Puts events with `aws.*` sources on the default bus, like an AWS service."""

from __future__ import annotations

import json
from typing import Any

from ministack.services import eventbridge


def put(*entries: dict[str, Any]) -> tuple[int, Any]:
    """Puts entries of PutEvents, whose `Detail` may be an object, and returns status and response."""
    texts = []
    for entry in entries:
        detail = entry.get("Detail", {})
        texts.append({**entry, "Detail": detail if isinstance(detail, str) else json.dumps(detail)})
    status, _, response = eventbridge._put_events({"Entries": texts}, allow_aws_source=True)
    return status, json.loads(response)
