"""The actions and resources of IAM checks, where MiniStack differs from AWS."""

from __future__ import annotations

import json
import time
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.services import sts

from . import pin


def apply() -> None:
    """The ARN of a schedule contains its group; batches of messages require the permission for a single message (SQS
    Developer Guide, "Amazon SQS API permissions"); the ARN of a Glue job or crawler contains its name; HTTP counts as
    TLS; sessions can be registered concurrently."""

    def action(service: str, *request: Any) -> str | None:
        name: str | None = extract_iam_action(service, *request)
        return name.removesuffix("Batch") if name and name.startswith("sqs:") else name

    def resource(service: str, *request: Any) -> str:
        if service == "glue" and (own := _of_glue(*request)) is not None:
            return own
        arn: str = extract_resource_arn(service, *request)
        return _in_group(arn, *request) if ":schedule/default/" in arn else arn

    def resolve(key: str, context: Any) -> Any:
        # # A bucket policy that requires TLS is satisfied by HTTP on 127.0.0.1.
        return "true" if key.lower() == "aws:securetransport" else resolve_condition_key(key, context)

    extract_iam_action = pin.replace(iam_actions, "extract_iam_action", action)
    extract_resource_arn = pin.replace(iam_actions, "extract_resource_arn", resource)
    resolve_condition_key = pin.replace(iam_evaluator, "_resolve_condition_key", resolve)
    pin.replace(sts, "_evict_expired_sessions", evict_expired_sessions)


def evict_expired_sessions() -> None:
    """Iterates over a copy: functions that start concurrently register sessions during the iteration."""
    now = time.time()
    for key, session in list(sts._sessions.items()):
        expires = session.get("Expiration")
        if isinstance(expires, (int, float)) and now > expires:
            sts._sessions.pop(key, None)


def _in_group(arn: str, _method: str, _path: str, _headers: Any, body: bytes, query: dict[str, Any], *_: str) -> str:
    """Create and Update have the group in the body, Get and Delete in the query; the default is `default`."""
    try:
        group = json.loads(body or b"{}").get("GroupName")
    except ValueError:
        group = None
    given = query.get("groupName")
    group = group or (given[0] if isinstance(given, list) and given else given) or "default"
    return arn.replace(":schedule/default/", f":schedule/{group}/")


_UNNAMED = ("GetCrawlers", "GetCrawlerMetrics", "ListCrawlers", "CreateCrawler", "GetJobs", "ListJobs")
"""Actions without a resource (Service Authorization Reference, "Actions … for AWS Glue")."""


def _of_glue(_m: str, _p: str, headers: Any, body: bytes, _q: Any, region: str, account: str) -> str | None:
    """The resource of the actions on jobs and crawlers. MiniStack takes the name of a crawler for that of a table."""
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    kind = "crawler" if "Crawl" in action else "job" if "Job" in action else None
    if kind is None:
        return None
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return "*"
    name = request.get("Name") or request.get("JobName") or request.get("CrawlerName")
    return "*" if action in _UNNAMED or not name else f"arn:aws:glue:{region}:{account}:{kind}/{name}"
