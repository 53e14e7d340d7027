"""Faults that end-to-end tests inject, each with a number of occurrences.

```json
{"kind": "kill", "function": "*JobLauncher*", "invocation": 1, "at": "start"}
{"kind": "kill", "function": "*JobLauncher*", "invocation": 1, "at": "before-call", "call": 3}
{"kind": "drop",   "pattern": {"source": ["aws.redshift-data"]}, "count": 1}
{"kind": "double", "pattern": {"source": ["aws.redshift-data"]}, "count": 2}
{"kind": "delay",  "pattern": {"source": ["aws.redshift-data"]}, "count": 1, "seconds": 2.5}
{"kind": "throttle", "operation": "dynamodb:UpdateItem", "count": 3, "error": "ThrottlingException"}
{"kind": "lose",     "operation": "glue:StartJobRun", "count": 1, "error": "InternalServiceException"}
{"kind": "slow",     "operation": "s3:GetObject", "count": 1, "seconds": 2.5}
```

`kill` sends SIGKILL to the function's process in the Nth invocation from now on: at its `start` (before the handler
receives the event), at its `end` (the handler has returned, the response is lost), `before-call` N (the Nth AWS request
of the invocation is not executed) or `after-call` N (the request is executed, its response is lost).
The process of a Glue job is killed in the same way; its `function` is `glue/<job>`, and it has no `end`.
`drop`, `double` and `delay` apply to deliveries of EventBridge to a target. `throttle` rejects requests of any
caller, `lose` executes them and returns an error instead of the response, and `slow` executes them later.
`function` and `operation` may contain shell wildcards.
"""

from __future__ import annotations

import fnmatch
import json
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

KILL_POINTS = ("start", "end", "before-call", "after-call")
DELIVERY_KINDS = ("drop", "double", "delay")
REQUEST_KINDS = ("throttle", "lose", "slow")


@dataclass
class Fault:
    """A fault. `count` is decremented with each use; `seen` counts the invocations for `kill`."""

    kind: str
    function: str = ""
    invocation: int = 1
    at: str = "start"
    call: int = 1
    pattern: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    operation: str = ""
    error: str = ""
    count: int = 1
    seen: int = 0

    def __post_init__(self) -> None:
        if self.kind == "kill":
            needed = ("function",)
            if self.at not in KILL_POINTS:
                raise ValueError(f"`at` must be one of {', '.join(KILL_POINTS)}, not {self.at!r}")
        elif self.kind in DELIVERY_KINDS:
            needed = ("pattern",)
        elif self.kind in REQUEST_KINDS:
            needed = ("operation",)
            self.error = self.error or ("InternalFailure" if self.kind == "lose" else "ThrottlingException")
        else:
            kinds = ("kill", *DELIVERY_KINDS, *REQUEST_KINDS)
            raise ValueError(f"`kind` must be one of {', '.join(kinds)}, not {self.kind!r}")
        for name in needed:
            if not getattr(self, name):
                raise ValueError(f"a {self.kind} fault needs `{name}`")

    @property
    def pattern_text(self) -> str:
        return json.dumps(self.pattern)


class Faults:
    """The pending faults."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []

    def order(self, request: dict[str, Any]) -> Fault:
        """Adds a fault; raises `ValueError` or `TypeError` if the request is not valid."""
        fault = Fault(**request)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self._faults.clear()

    def pending(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]

    def kill_for(self, function: str) -> Fault | None:
        """Called once per invocation: returns the `kill` fault that applies to the invocation."""
        with self._lock:
            for fault in self._faults:
                if fault.kind == "kill" and fnmatch.fnmatchcase(function, fault.function):
                    fault.seen += 1
                    if fault.seen >= fault.invocation:
                        return self._use(fault)
        return None

    def request_for(self, kind: str, operation: str) -> Fault | None:
        """Called once per request and kind of `REQUEST_KINDS`: returns the fault that applies to the request."""
        with self._lock:
            for fault in self._faults:
                if fault.kind == kind and fnmatch.fnmatchcase(operation, fault.operation):
                    return self._use(fault)
        return None

    def delivery_for(self, matches: Any) -> Fault | None:
        """Called once per delivery: returns the fault for which `matches(pattern_text)` is true."""
        with self._lock:
            for fault in self._faults:
                if fault.kind in DELIVERY_KINDS and matches(fault.pattern_text):
                    return self._use(fault)
        return None

    def _use(self, fault: Fault) -> Fault:
        fault.count -= 1
        if fault.count <= 0:
            self._faults.remove(fault)
        return fault


FAULTS = Faults()
"""The faults of this process."""
