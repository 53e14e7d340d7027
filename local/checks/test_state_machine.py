"""Runs `infra/run.asl.json` in a second interpreter, that of moto, with functions of a few lines in the place of ours.

The local stack has an interpreter of its own, patched for what it lacks. A definition that both interpreters run as
expected does not depend on a quirk of one of them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.stepfunctions.parser.asl.component.state.exec.state_task import lambda_eval_utils

DEFINITION = Path(__file__).parents[2] / "infra" / "run.asl.json"
TABLE = "job-audit"
REGION = "eu-central-1"
ACCOUNT = "123456789012"
NAMES = {
    "IteratorFunctionArn": "iterator",
    "JobLauncherFunctionArn": "job-launcher",
    "AuditUpdaterFunctionArn": "audit-updater",
}

EVENTS_A_JOB = 14
"""Standard workflows end at 25,000 history events. 14 a job leave room for 600 jobs with one retry of each."""

EVENTS_A_RUN = 26
"""What a run has beside its jobs, with one lane."""

SECONDS = 60
"""The longest that an execution of these tests takes."""

Payload = dict[str, Any]


class FunctionError(Exception):
    """A function that fails: the name is what `Retry` and `Catch` match."""


@dataclass
class World:
    """AWS as the state machine sees it, and what its functions do."""

    functions: dict[str, Callable[[Payload], Any]] = field(default_factory=dict)
    calls: list[tuple[str, Payload]] = field(default_factory=list)
    definition: str = DEFINITION.read_text()

    def invoke(self, parameters: dict[str, Any], **_: Any) -> dict[str, Any]:
        name = parameters["FunctionName"]
        payload = json.loads(parameters["Payload"])
        self.calls.append((name, payload))
        try:
            return {"StatusCode": 200, "Payload": self.functions[name](payload)}
        except FunctionError as error:
            failure = {"errorType": str(error), "errorMessage": "told to fail"}
            return {"StatusCode": 200, "FunctionError": "Unhandled", "Payload": failure}

    def called(self, function: str) -> int:
        return sum(1 for name, _ in self.calls if name == function)

    def run(self, run: str = "r") -> dict[str, Any]:
        """Runs the machine to its end: status, error, cause, and the number of history events."""
        text = self.definition.replace("${JobAuditTable}", TABLE).replace("${Partition}", "aws")
        for variable, name in NAMES.items():
            text = text.replace(f"${{{variable}}}", name)
        machines = boto3.client("stepfunctions", REGION)
        role = f"arn:aws:iam::{ACCOUNT}:role/run"
        machine = machines.create_state_machine(name="run", definition=text, roleArn=role)["stateMachineArn"]
        given = json.dumps({"workflow_execution_id": run})
        execution = machines.start_execution(stateMachineArn=machine, name=run, input=given)["executionArn"]
        deadline = time.monotonic() + SECONDS
        while (end := machines.describe_execution(executionArn=execution))["status"] == "RUNNING":
            assert time.monotonic() < deadline, f"the execution did not end within {SECONDS} s: {self.calls}"
            time.sleep(0.02)
        pages = machines.get_paginator("get_execution_history").paginate(executionArn=execution)
        return {**end, "events": sum(len(page["events"]) for page in pages)}


def settle(token: str, *, error: str | None = None) -> None:
    """Ends a task that waits for its token, a moment after its function has returned.

    AWS makes a new token for each try of a task. This interpreter keeps the first, so a retry may have ended already.
    """

    def work() -> None:
        time.sleep(0.05)
        machines = boto3.client("stepfunctions", REGION)
        with suppress(machines.exceptions.InvalidToken, machines.exceptions.TaskDoesNotExist):
            if error:
                machines.send_task_failure(taskToken=token, error=error, cause="told to fail")
            else:
                machines.send_task_success(taskToken=token, output="{}")

    threading.Thread(target=work, daemon=True).start()


def plan(*jobs: str) -> Callable[[Payload], Any]:
    """An iterator: the jobs in one lane."""
    return lambda _: {"lanes": [[{"job_name": job, "timeout_seconds": 60} for job in jobs]] if jobs else []}


def launch(payload: Payload) -> None:
    """A launcher whose statement succeeds at once."""
    settle(payload["task_token"])


def launch_and_fail(error: str) -> Callable[[Payload], Any]:
    """A launcher whose task fails with an error after the function has returned."""
    return lambda payload: settle(payload["task_token"], error=error)


def update(
    status: str = "SUCCEEDED",
    error: str | None = None,
    relaunch: bool = False,
    not_before: datetime = datetime(2026, 1, 1, tzinfo=timezone.utc),
) -> Callable[[Payload], Any]:
    """An audit-updater: what it says of a job that did not end as it should, and of the run."""

    def function(payload: Payload) -> Any:
        if payload["action"] == "record_job":
            assert payload["failure"]["Error"], payload
            return {"relaunch": relaunch, "not_before": not_before.strftime("%Y-%m-%dT%H:%M:%S.000Z")}
        return {"execution_status": status, "error_message": error}

    return function


def in_turn(*functions: Callable[[Payload], Any]) -> Callable[[Payload], Any]:
    """A function that does something else at each call; the last of them from then on."""
    left = list(functions)
    return lambda payload: (left.pop(0) if len(left) > 1 else left[0])(payload)


def fails(name: str) -> Callable[[Payload], Any]:
    def function(_: Payload) -> Any:
        raise FunctionError(name)

    return function


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    found = World({"iterator": plan("a"), "job-launcher": launch, "audit-updater": update()})
    monkeypatch.setattr(lambda_eval_utils, "_invoke_lambda_function", found.invoke)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        boto3.client("dynamodb", REGION).create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name in ("workflow_execution_id", "job_name")
            ],
            KeySchema=[
                {"AttributeName": "workflow_execution_id", "KeyType": "HASH"},
                {"AttributeName": "job_name", "KeyType": "RANGE"},
            ],
        )
        yield found


def audit(job: str, waiting_on: list[str] | None = None) -> None:
    """The item of a job of the run `r`."""
    item: dict[str, Any] = {"workflow_execution_id": {"S": "r"}, "job_name": {"S": job}}
    if waiting_on:
        item["waiting_on"] = {"SS": waiting_on}
    boto3.client("dynamodb", REGION).put_item(TableName=TABLE, Item=item)


def token_of(job: str) -> str | None:
    key = {"workflow_execution_id": {"S": "r"}, "job_name": {"S": job}}
    item = boto3.client("dynamodb", REGION).get_item(TableName=TABLE, Key=key)["Item"]
    return item.get("await_token", {}).get("S")


def test_a_job_that_nothing_holds_back_is_launched_at_once(world: World) -> None:
    audit("a")
    end = world.run()
    assert end["status"] == "SUCCEEDED"
    assert [name for name, _ in world.calls] == ["iterator", "job-launcher", "audit-updater"]
    assert world.calls[-1][1] == {"action": "finish_run", "workflow_execution_id": "r"}


def test_a_run_without_jobs_ends(world: World) -> None:
    world.functions["iterator"] = plan()
    assert world.run()["status"] == "SUCCEEDED"
    assert world.called("job-launcher") == 0


def test_a_job_sleeps_until_its_last_upstream_has_ended(world: World) -> None:
    audit("a")
    audit("b", ["a"])

    def launcher(payload: Payload) -> None:
        if payload["job_name"] == "a":
            while token_of("b") is None:
                time.sleep(0.01)
            assert world.called("job-launcher") == 1, "b was launched before a had ended"
            settle(token_of("b") or "")
        settle(payload["task_token"])

    world.functions |= {"iterator": plan("a", "b"), "job-launcher": launcher}
    assert world.run()["status"] == "SUCCEEDED"
    assert [payload["job_name"] for name, payload in world.calls if name == "job-launcher"] == ["a", "b"]


@pytest.mark.parametrize(
    "error",
    [
        "Shiftwork.Throttled",
        "Shiftwork.ActiveStatementsExceeded",
        "Lambda.Unknown",
        "Lambda.TooManyRequestsException",
    ],
)
def test_a_launcher_that_fails_for_a_moment_is_called_again(world: World, error: str) -> None:
    audit("a")
    world.functions["job-launcher"] = in_turn(fails(error), launch)
    assert world.run()["status"] == "SUCCEEDED"
    assert (world.called("job-launcher"), world.called("audit-updater")) == (2, 1)


def test_a_task_that_fails_with_a_conflict_is_launched_again(world: World) -> None:
    audit("a")
    world.functions["job-launcher"] = in_turn(launch_and_fail("Shiftwork.SerializationConflict"), launch)
    assert world.run()["status"] == "SUCCEEDED"
    assert world.called("job-launcher") >= 2
    assert world.called("audit-updater") == 1, "a conflict is retried, not recorded"


def test_a_job_of_two_parts_is_launched_twice(world: World) -> None:
    # AWS follows a Catch back to its own state; this interpreter ends the branch there, so a Pass stands between them.
    definition = json.loads(world.definition)
    states = definition["States"]["Lanes"]["ItemProcessor"]["States"]["Jobs"]["ItemProcessor"]["States"]
    proceed = states["Launch"]["Catch"][0]
    assert (proceed["ErrorEquals"], proceed["Next"]) == (["Shiftwork.Proceed"], "Launch")
    proceed["Next"] = "NextPart"
    states["NextPart"] = {"Type": "Pass", "Next": "Launch"}
    world.definition = json.dumps(definition)
    audit("a")
    world.functions["job-launcher"] = in_turn(launch_and_fail("Shiftwork.Proceed"), launch)
    assert world.run()["status"] == "SUCCEEDED"
    assert (world.called("job-launcher"), world.called("audit-updater")) == (2, 1)


def test_an_attempt_after_a_pause_is_launched_when_the_pause_has_ended(world: World) -> None:
    # This interpreter drops the cause of SendTaskFailure, so the time of the pause comes from Record.
    # The interpreter reads whole seconds of a time, and waits for whole seconds.
    until = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(seconds=4)
    launched: list[datetime] = []

    def launch_again(payload: Payload) -> None:
        launched.append(datetime.now(timezone.utc))
        launch(payload)

    audit("a")
    world.functions |= {
        "job-launcher": in_turn(fails("Shiftwork.ScriptUnreadable"), launch_again),
        "audit-updater": update(relaunch=True, not_before=until),
    }
    assert world.run()["status"] == "SUCCEEDED"
    assert launched[0] > until - timedelta(seconds=1)
    states = json.loads(world.definition)["States"]["Lanes"]["ItemProcessor"]["States"]["Jobs"]["ItemProcessor"][
        "States"
    ]
    pause = states["Launch"]["Catch"][1]
    assert (pause["ErrorEquals"], pause["Next"]) == (["Shiftwork.Pause"], "Pause")
    assert states["Pause"]["TimestampPath"] == f"{pause['ResultPath']}.Cause"


def test_a_job_without_a_slot_waits_in_await(world: World) -> None:
    audit("a")

    def hold(payload: Payload) -> None:
        audit("a", ["@slot"])
        settle(payload["task_token"], error="Shiftwork.Wait")

        def give_a_slot() -> None:
            while (token := token_of("a")) is None:
                time.sleep(0.01)
            assert world.called("job-launcher") == 1, "the job was launched before it had a slot"
            audit("a")
            settle(token)

        threading.Thread(target=give_a_slot, daemon=True).start()

    world.functions["job-launcher"] = in_turn(hold, launch)
    assert world.run()["status"] == "SUCCEEDED"
    assert (world.called("job-launcher"), world.called("audit-updater")) == (2, 1)


def test_a_job_that_gets_its_slot_at_once_does_not_wait(world: World) -> None:
    audit("a")
    world.functions["job-launcher"] = in_turn(launch_and_fail("Shiftwork.Wait"), launch)
    assert world.run()["status"] == "SUCCEEDED"
    assert (world.called("job-launcher"), world.called("audit-updater")) == (2, 1)


def test_a_launcher_that_fails_for_good_is_recorded_and_the_run_goes_on(world: World) -> None:
    audit("a")
    world.functions |= {
        "job-launcher": fails("Shiftwork.ScriptUnreadable"),
        "audit-updater": update("FAILED", "a failed"),
    }
    end = world.run()
    assert (end["status"], end["error"], end["cause"]) == ("FAILED", "Shiftwork.RunFailed", "a failed")
    recorded, finished = [payload for name, payload in world.calls if name == "audit-updater"]
    assert recorded["failure"]["Error"] == "Shiftwork.ScriptUnreadable"
    assert (recorded["action"], recorded["job_name"]) == ("record_job", "a")
    assert "failure" not in finished


def test_a_job_with_another_attempt_is_launched_again(world: World) -> None:
    audit("a")
    world.functions |= {
        "job-launcher": in_turn(fails("Shiftwork.ScriptUnreadable"), launch),
        "audit-updater": update(relaunch=True),
    }
    assert world.run()["status"] == "SUCCEEDED"
    assert (world.called("job-launcher"), world.called("audit-updater")) == (2, 2)


def test_a_record_that_fails_does_not_stop_the_other_jobs(world: World) -> None:
    audit("a")
    audit("b")

    def launcher(payload: Payload) -> None:
        if payload["job_name"] == "a":
            raise FunctionError("Shiftwork.ScriptUnreadable")
        launch(payload)

    def updater(payload: Payload) -> Any:
        if payload["action"] == "record_job":
            raise FunctionError("Shiftwork.Internal")
        return {"execution_status": "FAILED", "error_message": "a failed"}

    world.functions |= {"iterator": plan("a", "b"), "job-launcher": launcher, "audit-updater": updater}
    assert world.run()["status"] == "FAILED"
    assert world.called("job-launcher") == 2
    assert world.calls[-1][1]["action"] == "finish_run"


def test_a_run_that_cannot_begin_is_given_up_with_its_reason(world: World) -> None:
    world.functions |= {"iterator": fails("Shiftwork.RunNotFound"), "audit-updater": update("FAILED", "no such run")}
    end = world.run()
    assert (end["status"], end["cause"]) == ("FAILED", "no such run")
    assert world.calls[-1][1]["failure"]["Error"] == "Shiftwork.RunNotFound"


def test_a_finish_that_fails_fails_the_execution(world: World) -> None:
    audit("a")
    world.functions["audit-updater"] = fails("Shiftwork.Internal")
    end = world.run()
    assert (end["status"], end["error"]) == ("FAILED", "Shiftwork.Internal")


def test_a_job_stays_within_its_budget_of_history_events(world: World) -> None:
    """Among jobs without failures, one that waits has the most events: both of its tasks are submitted and succeed."""
    waiting = [f"job_{n}" for n in range(10)]

    def launcher(payload: Payload) -> None:
        if payload["job_name"] == "first":
            for job in waiting:
                while (token := token_of(job)) is None:
                    time.sleep(0.01)
                settle(token)
        launch(payload)

    world.functions |= {"iterator": plan("first", *waiting), "job-launcher": launcher}
    audit("first")
    for job in waiting:
        audit(job, ["first"])
    end = world.run()
    assert end["status"] == "SUCCEEDED"
    # The run itself and its first job, which waits for nothing.
    fixed = EVENTS_A_RUN + EVENTS_A_JOB - 1
    assert end["events"] <= fixed + EVENTS_A_JOB * len(waiting), end["events"]
