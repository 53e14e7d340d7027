"""The wire counter: what a run costs, in requests, invocations and states."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any


class Counts:
    """Counters since the last reset.

    `requests`: by `service:Operation` (the IAM spelling: `dynamodb:UpdateItem`), calls of AWS clients and of the
    functions, with those that Step Functions makes itself. `by_states`: the latter alone. `by_function`: the calls
    of each function. `invocations`: by function. `states`: states entered, by execution name. `deliveries`:
    EventBridge deliveries by rule.
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
        """Every counter as a JSON object, keys sorted, and the sum of each under `totals`."""
        with self._lock:
            found = {name: dict(sorted(counter.items())) for name, counter in self._counters.items()}
        return {**found, "totals": {name: sum(counter.values()) for name, counter in found.items()}}


COUNTS = Counts()
"""The counter of this process."""
