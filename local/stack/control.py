"""The control endpoints of the launcher, on MiniStack's port under `/_shiftwork/`. Loopback only, unsigned.

| request | response |
| --- | --- |
| `GET /_shiftwork/health` | `{"ready": true}` |
| `GET /_shiftwork/principal?access_key_id=X` | `{"arn": …}` of the key's principal; 404 if the key is unknown |
| `POST /_shiftwork/events` | puts one entry, or `{"Entries": […]}`, with an `aws.*` source, like an AWS service |
| `GET /_shiftwork/counts`, `POST /_shiftwork/counts/reset` | the request counters (`counts.py`) |
| `GET`, `POST`, `DELETE /_shiftwork/faults` | lists, adds and deletes pending faults (`faults.py`) |
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from ministack.core import iam_evaluator
from ministack.core.responses import set_request_account_id, set_request_region

from . import events
from .counts import COUNTS
from .faults import FAULTS
from .settings import ACCOUNT

PREFIX = "/_shiftwork/"


class Control:
    """An ASGI application that serves `/_shiftwork/`, and forwards all other requests to `inner`."""

    def __init__(self, inner: Any, region: str) -> None:
        self._inner = inner
        self._region = region

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._inner(scope, receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        set_request_account_id(ACCOUNT)
        set_request_region(self._region)
        query = parse_qs(scope.get("query_string", b"").decode())
        try:
            status, content = self._handle(scope["method"], scope["path"][len(PREFIX) :], query, body)
        except (ValueError, TypeError) as failure:
            status, content = 400, {"message": str(failure)}
        content = json.dumps(content).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    def _handle(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        route = (method, path.rstrip("/"))
        if route == ("GET", "health"):
            return 200, {"ready": True}
        if route == ("GET", "principal"):
            return _principal(query.get("access_key_id", [""])[0])
        if route == ("POST", "events"):
            request = json.loads(body)
            return events.put(*request.get("Entries", [request]))
        if route == ("GET", "counts"):
            return 200, COUNTS.report()
        if route == ("POST", "counts/reset"):
            COUNTS.reset()
            return 200, {}
        if route == ("GET", "faults"):
            return 200, FAULTS.pending()
        if route == ("POST", "faults"):
            FAULTS.order(json.loads(body))
            return 200, FAULTS.pending()
        if route == ("DELETE", "faults"):
            FAULTS.clear()
            return 200, []
        return 404, {
            "message": f"unknown endpoint {method} {PREFIX}{path}: see local/stack/control.py for the endpoints"
        }


def _principal(access_key: str) -> tuple[int, Any]:
    identity = iam_evaluator.resolve_caller_identity(access_key)
    if not identity:
        return 404, {"message": f"the access key {access_key!r} belongs to no principal"}
    return 200, {"arn": identity["userArn"]}
