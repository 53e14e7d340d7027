"""Events of services, S3 and schedules, and faults that drop, double and delay them."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from local.stack.patches.schedules import next_occurrence

from .harness import Stack, until


def emit(stack: Stack, mark: str) -> None:
    detail = {"mark": mark, "state": "FINISHED"}
    entry = {"Source": "aws.redshift-data", "DetailType": "Redshift Data Statement Status Change", "Detail": detail}
    assert stack.control("events", "POST", entry)["FailedEntryCount"] == 0


def marked(stack: Stack, mark: str) -> list[Any]:
    return [n for n in stack.notes("toy-sink") if isinstance(n.get("detail"), dict) and n["detail"].get("mark") == mark]


def test_only_the_control_endpoint_can_put_events_of_aws_sources(stack: Stack) -> None:
    emit(stack, "service")
    event = until(lambda: marked(stack, "service"))[0]
    assert (event["source"], event["account"], event["region"]) == ("aws.redshift-data", "000000000000", "us-east-1")
    entry = {"Source": "aws.redshift-data", "DetailType": "Redshift", "Detail": "{}"}
    refused = stack.client("events").put_events(Entries=[entry])
    assert refused["Entries"][0]["ErrorCode"] == "NotAuthorizedForSourceException"


@pytest.mark.parametrize(("kind", "deliveries"), [("drop", 0), ("double", 2)])
def test_a_delivery_is_dropped_or_doubled(stack: Stack, kind: str, deliveries: int) -> None:
    stack.control("faults", "POST", {"kind": kind, "pattern": {"detail": {"mark": [kind]}}})
    emit(stack, kind)
    emit(stack, f"after-{kind}")
    until(lambda: marked(stack, f"after-{kind}"))
    until(lambda: len(marked(stack, kind)) == deliveries)
    time.sleep(0.2)
    assert len(marked(stack, kind)) == deliveries


def test_a_delivery_is_delayed(stack: Stack) -> None:
    stack.control("faults", "POST", {"kind": "delay", "pattern": {"detail": {"mark": ["late"]}}, "seconds": 1})
    begun = time.monotonic()
    emit(stack, "late")
    until(lambda: marked(stack, "late"))
    assert time.monotonic() - begun >= 1


def test_an_object_in_a_bucket_is_an_event(stack: Stack) -> None:
    bucket = stack.outputs["Scripts"]
    put = stack.client("s3").put_object(Bucket=bucket, Key="a b/insert.sql", Body=b"select 1;")

    def created() -> list[Any]:
        events = [n for n in stack.notes("toy-sink") if n.get("detail-type") == "Object Created"]
        return [event for event in events if event["detail"]["object"]["key"] == "a b/insert.sql"]

    event = until(created)[0]
    detail = event["detail"]
    assert event["source"] == "aws.s3"
    assert event["resources"] == [f"arn:aws:s3:::{bucket}"]
    assert detail["bucket"]["name"] == bucket
    assert detail["reason"] == "PutObject"
    assert detail["version"] == "0"
    assert detail["object"]["size"] == 9
    assert detail["object"]["version-id"] == put["VersionId"]
    assert detail["object"]["etag"] == put["ETag"].strip('"')
    assert detail["object"]["sequencer"]
    assert detail["requester"]
    assert detail["source-ip-address"]


def test_a_message_is_delivered_in_a_batch(stack: Stack) -> None:
    queue = stack.client("sqs")
    queue.send_message(QueueUrl=stack.outputs["Requests"], MessageBody=json.dumps({"mark": "message"}))
    records = until(lambda: [n for n in stack.notes("toy-sink") if "Records" in n])
    assert json.loads(records[-1]["Records"][0]["body"]) == {"mark": "message"}


def test_a_schedule_fires_when_due_with_its_context(stack: Stack) -> None:
    schedules = stack.client("scheduler")
    due = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=2)
    detail = {"mark": "due", "at": "<aws.scheduler.scheduled-time>", "of": "<aws.scheduler.schedule-arn>"}
    arn = schedules.create_schedule(
        Name="once",
        GroupName="toy",
        ScheduleExpression=f"at({due:%Y-%m-%dT%H:%M:%S})",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={
            "Arn": stack.outputs["Sink"],
            "RoleArn": stack.outputs["SchedulerRole"],
            "Input": json.dumps({"detail": detail}),
        },
    )["ScheduleArn"]
    event = until(lambda: marked(stack, "due"))[0]
    assert event == {"detail": {"mark": "due", "at": f"{due:%Y-%m-%dT%H:%M:%SZ}", "of": arn}}
    until(lambda: not schedules.list_schedules(GroupName="toy", NamePrefix="once")["Schedules"])


@pytest.mark.parametrize(
    ("expression", "zone", "after", "due"),
    [
        ("rate(1 minute)", "UTC", "2026-01-01T00:00:30", "2026-01-01T00:01:30"),
        ("at(2026-01-01T08:00:00)", "Europe/Berlin", "2026-01-01T00:00:00", "2026-01-01T07:00:00"),
        ("at(2026-01-01T08:00:00)", "Europe/Berlin", "2026-01-01T07:00:00", None),
        ("cron(0 6 * * ? *)", "UTC", "2026-01-01T06:00:00", "2026-01-02T06:00:00"),
        ("cron(0 6 * * ? *)", "America/New_York", "2026-07-01T00:00:00", "2026-07-01T10:00:00"),
        ("cron(30 2 ? * MON *)", "Asia/Tokyo", "2026-01-01T00:00:00", "2026-01-04T17:30:00"),
        # 02:30 does not exist on 29 March, and comes twice on 25 October.
        ("cron(30 2 * * ? *)", "Europe/Berlin", "2026-03-28T12:00:00", "2026-03-30T00:30:00"),
        ("cron(30 2 * * ? *)", "Europe/Berlin", "2026-10-24T12:00:00", "2026-10-25T00:30:00"),
        ("cron(30 2 * * ? *)", "Europe/Berlin", "2026-10-25T00:30:00", "2026-10-26T01:30:00"),
    ],
)
def test_next_occurrence_of_a_schedule(expression: str, zone: str, after: str, due: str | None) -> None:
    schedule = {"ScheduleExpression": expression, "ScheduleExpressionTimezone": zone}
    found = next_occurrence(schedule, datetime.fromisoformat(after).replace(tzinfo=timezone.utc))
    assert (found and found.replace(tzinfo=None).isoformat()) == due


def test_a_rate_starts_at_the_last_occurrence(stack: Stack) -> None:
    """Waiting for a whole interval would take too long, so the test calls the check for due schedules."""
    schedule = {"ScheduleExpression": "rate(2 hours)"}
    first = next_occurrence(schedule, datetime(2026, 1, 1, tzinfo=timezone.utc))
    assert first == datetime(2026, 1, 1, 2, tzinfo=timezone.utc)
