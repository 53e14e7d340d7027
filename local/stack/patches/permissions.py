"""What IAM is asked, where MiniStack asks something else than AWS would."""

from __future__ import annotations

import json
import time
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.services import sts

from . import pin


def apply() -> None:
    """A schedule's ARN names its group; a batch of messages takes the permission for one (SQS Developer Guide,
    "Amazon SQS API permissions"); HTTP on 127.0.0.1 stands for TLS; sessions may begin side by side."""

    def action(service: str, *request: Any) -> str | None:
        name: str | None = extract_iam_action(service, *request)
        return name.removesuffix("Batch") if name and name.startswith("sqs:") else name

    def resource(service: str, *request: Any) -> str:
        arn: str = extract_resource_arn(service, *request)
        return _in_group(arn, *request) if ":schedule/default/" in arn else arn

    def resolve(key: str, context: Any) -> Any:
        # A bucket that refuses anything but TLS is the same bucket here.
        return "true" if key.lower() == "aws:securetransport" else resolve_condition_key(key, context)

    extract_iam_action = pin.replace(iam_actions, "extract_iam_action", action)
    extract_resource_arn = pin.replace(iam_actions, "extract_resource_arn", resource)
    resolve_condition_key = pin.replace(iam_evaluator, "_resolve_condition_key", resolve)
    pin.replace(sts, "_evict_expired_sessions", evict_expired_sessions)


def evict_expired_sessions() -> None:
    """Over a copy: functions that start at the same time each register a session, while another is looking."""
    now = time.time()
    for key, session in list(sts._sessions.items()):
        expires = session.get("Expiration")
        if isinstance(expires, (int, float)) and now > expires:
            sts._sessions.pop(key, None)


def _in_group(arn: str, _method: str, _path: str, _headers: Any, body: bytes, query: dict[str, Any], *_: str) -> str:
    """Create and Update name the group in the body, Get and Delete in the query; without one it is `default`."""
    try:
        group = json.loads(body or b"{}").get("GroupName")
    except ValueError:
        group = None
    given = query.get("groupName")
    group = group or (given[0] if isinstance(given, list) and given else given) or "default"
    return arn.replace(":schedule/default/", f":schedule/{group}/")
