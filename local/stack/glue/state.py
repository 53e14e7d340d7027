"""The record of a job run, and its states."""

from __future__ import annotations

import threading
import time
import uuid
from typing import Any

from .python_shell import LOG_GROUP

ACTIVE = frozenset({"STARTING", "RUNNING", "STOPPING"})
ENDED = frozenset({"SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED"})
"""The other states of the API do not occur here: ERROR and EXPIRED are of triggers, WAITING is of queued runs."""

LOCK = threading.RLock()
"""Guards the records and the states of all runs."""


def new_run(
    job: dict[str, Any], request: dict[str, Any], runs: list[dict[str, Any]], previous: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A run in state STARTING, after `runs`, those of the job until now.

    A retry has the settings of the `previous` run, unless `request` has them. Its id is that of the first run with the
    number of its attempt.
    """
    now = time.time()
    first = _first(previous["Id"]) if previous else f"jr_{uuid.uuid4().hex}{uuid.uuid4().hex}"
    attempt = 1 + max((run["Attempt"] for run in runs if _first(run["Id"]) == first), default=-1)
    run: dict[str, Any] = {
        "Id": f"{first}_attempt_{attempt}" if attempt else first,
        "Attempt": attempt,
        "JobName": job["Name"],
        "JobMode": job["JobMode"],
        "StartedOn": now,
        "LastModifiedOn": now,
        "JobRunState": "STARTING",
        "PredecessorRuns": [],
        "AllocatedCapacity": 0,
        "ExecutionTime": 0,
        "LogGroupName": LOG_GROUP,
        "GlueVersion": job["GlueVersion"],
    }
    if previous:
        run["PreviousRunId"] = previous["Id"]
    for name in ("Arguments", "Timeout", "MaxCapacity", "NotificationProperty"):
        inherited = {} if name == "Arguments" else job.get(name)  # a run shows its own arguments only
        value = request.get(name) or (previous or {}).get(name) or inherited
        if value:
            run[name] = value
    return run


def _first(run_id: str) -> str:
    """The id of the run that `run_id` is an attempt of."""
    return run_id.partition("_attempt_")[0]
