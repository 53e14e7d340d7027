"""The events of Glue on EventBridge.

The shapes are those of the EventBridge user guide, "AWS Glue events" (`tests/glue_events.json` has one of each). All
values of a crawler's end are texts, and its states are not in capitals.
"""

from __future__ import annotations

import time
from typing import Any

from ministack.core.responses import get_account_id, get_region

from .. import events

ENDS = {
    "SUCCEEDED": ("INFO", "Job run succeeded"),
    "FAILED": ("ERROR", "Job run failed"),
    "TIMEOUT": ("WARN", "Job run timed out"),
    "STOPPED": ("INFO", "Job run stopped"),
}
"""Severity and message by state. The message of a failed run is its error message, if it has one."""


def job_ended(run: dict[str, Any]) -> None:
    severity, message = ENDS[run["JobRunState"]]
    _put(
        "Glue Job State Change",
        {
            "jobName": run["JobName"],
            "severity": severity,
            "state": run["JobRunState"],
            "jobRunId": run["Id"],
            "message": run.get("ErrorMessage", message),
        },
    )


def job_delayed(run: dict[str, Any]) -> None:
    """The run takes longer than its `NotifyDelayAfter`. Runs without this property have no such event."""
    state = run["JobRunState"]
    _put(
        "Glue Job Run Status",
        {
            "jobName": run["JobName"],
            "severity": "INFO",
            "notificationCondition": {"NotifyDelayAfter": float(run["NotificationProperty"]["NotifyDelayAfter"])},
            "state": state,
            "jobRunId": run["Id"],
            "message": f"Job is in {state} state",
            "startedOn": timestamp(run["StartedOn"], milliseconds=True),
        },
    )


def crawler_started(crawler: str, started: float) -> None:
    _crawler(crawler, "Started", startTime=timestamp(started))


def crawler_succeeded(crawler: str, log_link: str, seconds: float, changes: dict[str, int]) -> None:
    _crawler(
        crawler,
        "Succeeded",
        cloudWatchLogLink=log_link,
        completionDate=timestamp(time.time()),
        warningMessage="N/A",
        **{"runningTime (sec)": str(int(seconds))},
        **{name: str(count) for name, count in changes.items()},
    )


def crawler_failed(crawler: str, log_link: str, error: str) -> None:
    _crawler(crawler, "Failed", cloudWatchLogLink=log_link, errorMessage=error)


def log_link(group: str, stream: str) -> str:
    return f"https://console.aws.amazon.com/cloudwatch/home?region={get_region()}#logEventViewer:group={group};stream={stream}"


def timestamp(moment: float, milliseconds: bool = False) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return f"{whole}.{int(moment % 1 * 1000):03}Z" if milliseconds else f"{whole}Z"


def _crawler(crawler: str, state: str, **detail: str) -> None:
    common = {"accountId": get_account_id(), "crawlerName": crawler, "state": state, "message": f"Crawler {state}"}
    _put("Glue Crawler State Change", {**common, **detail})


def _put(detail_type: str, detail: dict[str, Any]) -> None:
    events.put({"Source": "aws.glue", "DetailType": detail_type, "Detail": detail})
