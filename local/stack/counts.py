"""Counters of requests, invocations and states, from which the cost of a run follows."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any


class Counts:
    """Counters since the last reset.

    `requests`: by `service:Operation` in the spelling of IAM (`dynamodb:UpdateItem`): the requests of AWS clients,
    of functions, of Step Functions, and of Glue jobs and crawlers. `by_states`: only those of Step Functions.
    `by_function`: those of each function, and of each Glue job as `glue/<job>`. `invocations`: by function.
    `states`: entered states, by execution name. `deliveries`: deliveries of EventBridge, by rule.
    """

    NAMES = ("requests", "by_states", "by_function", "invocations", "states", "deliveries")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, Counter[str]] = {name: Counter() for name in self.NAMES}

    def add(self, counter: str, key: str) -> None:
        with self._lock:
            self._counters[counter][key] += 1

    def reset(self) -> None:
        with self._lock:
            for counter in self._counters.values():
                counter.clear()

    def report(self) -> dict[str, Any]:
        """All counters as a JSON object with sorted keys, and the sum of each counter under `totals`."""
        with self._lock:
            found = {name: dict(sorted(counter.items())) for name, counter in self._counters.items()}
        return {**found, "totals": {name: sum(counter.values()) for name, counter in found.items()}}


COUNTS = Counts()
"""The counters of this process."""
