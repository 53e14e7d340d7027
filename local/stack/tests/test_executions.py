"""Executions: idempotent start, stop, timeout."""

from __future__ import annotations

import time

import pytest
from botocore.exceptions import ClientError

from .harness import Stack, until

WAIT_FOR_TOKEN = {
    "Type": "Task",
    "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
    "Parameters": {"FunctionName": "${Echo}", "Payload": {"token.$": "$$.Task.Token", "run.$": "$$.Execution.Name"}},
    "End": True,
}


def tokens(stack: Stack, execution: str) -> list[str]:
    name = execution.rsplit(":", 1)[-1]
    return [note["token"] for note in stack.notes("toy-echo") if isinstance(note, dict) and note.get("run") == name]


def nested(inner: dict[str, object], after: dict[str, object]) -> dict[str, object]:
    """A Map in a Map with waiting iterations, followed by states that must not start."""
    items = {"Type": "Map", "ItemsPath": "$.items", "ItemProcessor": {"StartAt": "Job", "States": {"Job": inner}}}
    outer = {
        **items,
        "ItemsPath": "$.pages",
        "ItemProcessor": {"StartAt": "Jobs", "States": {"Jobs": {**items, "Next": "AfterJobs"}, "AfterJobs": after}},
        "Next": "AfterPages",
    }
    return {"StartAt": "Pages", "States": {"Pages": outer, "AfterPages": after}}


def test_start_with_the_name_and_input_of_a_running_execution_is_a_success(stack: Stack) -> None:
    machine = stack.machine("waits", {"StartAt": "Ask", "States": {"Ask": WAIT_FOR_TOKEN}})
    first = stack.start(machine, {"a": 1}, name="same")
    assert stack.start(machine, {"a": 1}, name="same") == first
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        stack.start(machine, {"a": 2}, name="same")
    stack.client("stepfunctions").stop_execution(executionArn=first)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        stack.start(machine, {"a": 1}, name="same")


def test_stop_ends_nested_maps_at_once_and_nothing_starts_afterwards(stack: Stack) -> None:
    after = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "${Echo}", "Payload": {"too": "late"}},
        "End": True,
    }
    caught = {**WAIT_FOR_TOKEN, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Job"}]}
    machine = stack.machine("nested", nested(caught, after))
    execution = stack.start(machine, {"pages": [{"items": [1, 2]}, {"items": [3, 4]}]})
    until(lambda: len(tokens(stack, execution)) == 4)
    seen = len(stack.notes("toy-echo"))
    states = stack.client("stepfunctions")
    states.stop_execution(executionArn=execution, error="Cancelled", cause="by hand")
    ended = states.describe_execution(executionArn=execution)
    assert (ended["status"], ended["error"], ended["cause"]) == ("ABORTED", "Cancelled", "by hand")
    for token in tokens(stack, execution):
        with pytest.raises(ClientError, match="TaskTimedOut"):
            states.send_task_success(taskToken=token, output="{}")
    time.sleep(0.5)
    assert len(stack.notes("toy-echo")) == seen
    assert states.describe_execution(executionArn=execution)["status"] == "ABORTED"


def test_stop_ends_a_wait_and_a_retry(stack: Stack) -> None:
    retry = [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 300}]
    fails = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": "${Echo}", "Payload": {"fail": {"errorType": "Again", "errorMessage": ""}}},
        "Retry": retry,
        "End": True,
    }
    branches = [
        {"StartAt": "Sleep", "States": {"Sleep": {"Type": "Wait", "Seconds": 300, "End": True}}},
        {"StartAt": "Fails", "States": {"Fails": fails}},
    ]
    both = {"Type": "Parallel", "Branches": branches, "End": True}
    machine = stack.machine("sleeps", {"StartAt": "Both", "States": {"Both": both}})
    execution = stack.start(machine)
    time.sleep(0.6)
    stack.client("stepfunctions").stop_execution(executionArn=execution)
    assert stack.finish(execution, 1.0)["status"] == "ABORTED"
    until(lambda: statuses(stack, execution) == ["ABORTED", "RUNNING"])


def test_the_timeout_of_the_state_machine_ends_the_execution(stack: Stack) -> None:
    ended = stack.run("expires", {"StartAt": "Ask", "TimeoutSeconds": 1, "States": {"Ask": WAIT_FOR_TOKEN}})
    assert ended["status"] == "TIMED_OUT"
    until(lambda: statuses(stack, ended["executionArn"]) == ["RUNNING", "TIMED_OUT"])


def statuses(stack: Stack, execution: str) -> list[str]:
    """The statuses of the execution in EventBridge events, in alphabetical order."""
    events = [note for note in stack.notes("toy-sink") if note.get("source") == "aws.states"]
    return sorted(e["detail"]["status"] for e in events if e["detail"]["executionArn"] == execution)


def test_status_changes_are_events_of_the_default_bus(stack: Stack) -> None:
    machine = stack.machine("passes", {"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": True}}})
    execution = stack.start(machine, {"x": 1})
    stack.finish(execution)

    def seen() -> list[dict[str, object]]:
        events = [note for note in stack.notes("toy-sink") if note.get("source") == "aws.states"]
        return [event for event in events if event["detail"]["executionArn"] == execution]

    events = until(lambda: len(found := seen()) == 2 and found)
    assert {event["detail"]["status"] for event in events} == {"RUNNING", "SUCCEEDED"}
    last = next(event for event in events if event["detail"]["status"] == "SUCCEEDED")
    assert last["detail-type"] == "Step Functions Execution Status Change"
    assert last["resources"] == [execution]
    assert last["detail"]["output"] == '{"x": 1}'


def test_states_inside_a_map_are_in_the_history(stack: Stack) -> None:
    inner = {"Type": "Pass", "End": True}
    definition = {
        "StartAt": "All",
        "States": {"All": {"Type": "Map", "ItemProcessor": {"StartAt": "One", "States": {"One": inner}}, "End": True}},
    }
    stack.control("counts/reset", "POST")
    ended = stack.run("maps", definition, [1, 2, 3])
    history = stack.client("stepfunctions").get_execution_history(executionArn=ended["executionArn"])["events"]
    assert [event["type"] for event in history].count("PassStateEntered") == 3
    assert len({event["id"] for event in history}) == len(history)
    assert stack.counts()["states"] == {ended["name"]: 4}


def test_a_failed_iteration_ends_the_others_and_their_tokens(stack: Stack) -> None:
    choose = {"Type": "Choice", "Choices": [{"Variable": "$", "NumericEquals": 2, "Next": "Bad"}], "Default": "Ask"}
    bad = {"Type": "Wait", "Seconds": 1, "Next": "Fails"}
    fails = {"Type": "Fail", "Error": "Bad", "Cause": "two"}
    iteration = {"StartAt": "Choose", "States": {"Choose": choose, "Bad": bad, "Fails": fails, "Ask": WAIT_FOR_TOKEN}}
    caught = {"ErrorEquals": ["Bad"], "ResultPath": None, "Next": "Caught"}
    each = {"Type": "Map", "ItemProcessor": iteration, "Catch": [caught], "End": True}
    states = {"All": each, "Caught": {"Type": "Pass", "End": True}}
    machine = stack.machine("fast", {"StartAt": "All", "States": states})
    execution = stack.start(machine, [1, 2])
    assert stack.finish(execution, 5)["status"] == "SUCCEEDED"
    with pytest.raises(ClientError, match="TaskTimedOut"):
        stack.client("stepfunctions").send_task_success(taskToken=tokens(stack, execution)[0], output="{}")


@pytest.mark.parametrize(
    "state",
    [
        {"Type": "Pass", "Parameters": {"x.$": "$.none"}, "End": True},
        {"Type": "Pass", "InputPath": "$.none", "End": True},
        {"Type": "Choice", "Choices": [{"Variable": "$.none", "StringEquals": "", "Next": "Only"}], "Default": "Only"},
    ],
)
def test_a_path_that_selects_nothing_fails_the_execution(stack: Stack, state: dict[str, object]) -> None:
    ended = stack.run("paths", {"StartAt": "Only", "States": {"Only": state}}, {"some": 1})
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")


def test_a_null_is_present(stack: Stack) -> None:
    choices = [{"Variable": "$.x", "IsPresent": True, "Next": "Done"}]
    states = {"Only": {"Type": "Choice", "Choices": choices, "Default": "No"}, "Done": {"Type": "Succeed"}}
    definition = {"StartAt": "Only", "States": {**states, "No": {"Type": "Fail"}}}
    assert stack.run("present", definition, {"x": None})["status"] == "SUCCEEDED"
    assert stack.run("present", definition, {})["status"] == "FAILED"
