"""EventBridge Scheduler: on time, in the time zone of the schedule, with the context attributes of its input."""

from __future__ import annotations

import contextvars
import json
import time
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from ministack.core.responses import new_uuid, set_request_account_id, set_request_region
from ministack.services import eventbridge, scheduler

from . import pin

TICK_SECONDS = 1


def apply() -> None:
    """Replaces the check for due schedules: MiniStack checks every 10 s, in UTC only, without context attributes."""
    pin.replace(scheduler, "_SCHEDULE_TICK_INTERVAL", TICK_SECONDS)
    pin.replace(scheduler, "_tick_schedules", tick)


def tick() -> None:
    """Fires every enabled schedule that is due."""
    now = datetime.now(timezone.utc)
    for key, schedule in list(scheduler._schedules._data.items()):
        due = _due(key, schedule, now)
        if due is not None:
            contextvars.copy_context().run(_fire, key, schedule, due)


def next_occurrence(schedule: dict[str, Any], after: datetime) -> datetime | None:
    """The first time after `after` at which the schedule fires; None if it does not fire again."""
    expression = schedule.get("ScheduleExpression", "")
    zone = ZoneInfo(schedule.get("ScheduleExpressionTimezone") or "UTC")
    if expression.startswith("at("):
        moment = datetime.fromisoformat(expression[3:-1]).replace(tzinfo=zone).astimezone(timezone.utc)
        return moment if moment > after else None
    interval = eventbridge._parse_rate_seconds(expression)
    if interval is not None:
        return after + timedelta(seconds=interval)
    fields = eventbridge._parse_cron_fields(expression)
    if fields is None:
        return None
    # Cron fields are in local time: compute the next time as if it were UTC, then set the time zone.
    found = eventbridge._cron_next_fire(fields, after.astimezone(zone).replace(tzinfo=timezone.utc))
    while found is not None:
        moment = found.replace(tzinfo=zone).astimezone(timezone.utc)
        if moment.astimezone(zone).replace(tzinfo=timezone.utc) == found:
            return moment
        # EventBridge Scheduler skips a local time that does not exist.
        found = eventbridge._cron_next_fire(fields, found)
    return None


def _due(key: tuple[str, str, str], schedule: dict[str, Any], now: datetime) -> datetime | None:
    if schedule.get("State") != "ENABLED" or not (schedule.get("Target") or {}).get("Arn"):
        return None
    start, end = (scheduler._to_epoch(schedule.get(field)) for field in ("StartDate", "EndDate"))
    if (start is not None and now.timestamp() < start) or (end is not None and now.timestamp() > end):
        return None
    # # A changed schedule starts at the time of its change, like a new one.
    anchor = max(scheduler._schedule_last_fired.get(key, 0.0), _changed(schedule))
    due = next_occurrence(schedule, datetime.fromtimestamp(anchor, timezone.utc))
    if due is None or due > now:
        return None
    scheduler._schedule_last_fired[key] = due.timestamp()
    return due


def _changed(schedule: dict[str, Any]) -> float:
    stamp = scheduler._to_epoch(schedule.get("LastModificationDate") or schedule.get("CreationDate"))
    return time.time() if stamp is None else float(stamp)


def _fire(key: tuple[str, str, str], schedule: dict[str, Any], due: datetime) -> None:
    account, region, _ = key
    set_request_account_id(account)
    set_request_region(region)
    target = dict(schedule["Target"])
    scheduled = due.strftime("%Y-%m-%dT%H:%M:%SZ")
    execution = new_uuid()
    attributes = {
        "schedule-arn": schedule.get("Arn", ""),
        "scheduled-time": scheduled,
        "execution-id": execution,
        "attempt-number": "1",
    }
    if target.get("Input"):
        for name, value in attributes.items():
            target["Input"] = target["Input"].replace(f"<aws.scheduler.{name}>", value)
    event = {
        "EventId": execution,
        "Source": "aws.scheduler",
        "DetailType": "Scheduled Event",
        "Detail": json.dumps({}),
        "Time": int(due.timestamp()),
        "Resources": [schedule.get("Arn", "")],
        "Account": account,
        "Region": region,
    }
    eventbridge._invoke_target(target, event, schedule)
    if schedule.get("ActionAfterCompletion") == "DELETE" and next_occurrence(schedule, due) is None:
        scheduler._schedules._data.pop(key, None)
        scheduler._schedule_last_fired.pop(key, None)
