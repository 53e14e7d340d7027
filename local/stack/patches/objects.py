"""S3 events on EventBridge contain the version id of the object."""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import Any

from ministack.services import eventbridge, s3

from . import pin

_version: ContextVar[str | None] = ContextVar("shiftwork_object_version", default=None)


def apply() -> None:
    """Adds `detail.object.version-id` to the events of versioned buckets."""

    def fire(*args: Any, version_id: str | None = None, **kwargs: Any) -> None:
        token = _version.set(version_id)
        try:
            fire_s3_event(*args, version_id=version_id, **kwargs)
        finally:
            _version.reset(token)

    def dispatch(event: dict[str, Any], view: Any = None) -> None:
        version = _version.get()
        if version and event.get("Source") == "aws.s3" and view is None:
            detail = json.loads(event["Detail"])
            detail["object"]["version-id"] = version
            event = {**event, "Detail": json.dumps(detail)}
        dispatch_event(event, view)

    fire_s3_event = pin.replace(s3, "_fire_s3_event", fire)
    dispatch_event = pin.replace(eventbridge, "_dispatch_event", dispatch)
