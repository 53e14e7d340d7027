"""Task states: tokens, timeouts, heartbeats, retries, and their error names."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local.stack.patches.tasks import retry_delay

from .harness import Stack, until

CAUGHT = [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Caught"}]


def ask(payload: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A state machine with a single task that waits for its token."""
    task = {
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke.waitForTaskToken",
        "Parameters": {"FunctionName": "${Echo}", "Payload": {"token.$": "$$.Task.Token", **payload}},
        "Catch": CAUGHT,
        "End": True,
        **fields,
    }
    return {"StartAt": "Ask", "States": {"Ask": task, "Caught": {"Type": "Pass", "End": True}}}


def token_of(stack: Stack, mark: str) -> str:
    """The token of the last attempt whose payload contains `mark`."""
    return str(until(lambda: tokens_of(stack, mark))[-1])


def tokens_of(stack: Stack, mark: str) -> list[str]:
    return [n["token"] for n in stack.notes("toy-echo") if isinstance(n, dict) and n.get("mark") == mark]


def test_the_token_settles_the_task_once(stack: Stack) -> None:
    execution = stack.start(stack.machine("ask", ask({"mark": "settle"})))
    states = stack.client("stepfunctions")
    token = token_of(stack, "settle")
    states.send_task_success(taskToken=token, output='{"rows": 4}')
    for again in (states.send_task_success, states.send_task_failure):
        with pytest.raises(ClientError, match="TaskTimedOut"):
            again(taskToken=token, **({"output": "{}"} if again == states.send_task_success else {}))
    assert json.loads(stack.finish(execution)["output"]) == {"rows": 4}


def test_an_unknown_token_is_invalid(stack: Stack) -> None:
    with pytest.raises(ClientError, match="InvalidToken"):
        stack.client("stepfunctions").send_task_success(taskToken="made-up", output="{}")


def test_an_output_that_is_not_json_is_rejected(stack: Stack) -> None:
    execution = stack.start(stack.machine("ask", ask({"mark": "not-json"})))
    states = stack.client("stepfunctions")
    with pytest.raises(ClientError, match="InvalidOutput"):
        states.send_task_success(taskToken=token_of(stack, "not-json"), output="{")
    states.stop_execution(executionArn=execution)


def test_a_lambda_error_fails_the_waiting_task_with_its_error_name(stack: Stack) -> None:
    failure = {"errorType": "Shiftwork.Throttled", "errorMessage": "slow down"}
    error = json.loads(stack.run("ask", ask({"fail": failure}))["output"])["error"]
    assert error["Error"] == "Shiftwork.Throttled"
    assert json.loads(error["Cause"])["errorMessage"] == "slow down"


def test_a_crash_of_the_function_fails_the_waiting_task(stack: Stack) -> None:
    error = json.loads(stack.run("ask", ask({"die": True}))["output"])["error"]
    assert error["Error"] == "Runtime.ExitError"


def test_a_missing_heartbeat_fails_the_task(stack: Stack) -> None:
    begun = time.monotonic()
    execution = stack.start(stack.machine("beats", ask({"mark": "beats"}, HeartbeatSeconds=1)))
    states = stack.client("stepfunctions")
    token = token_of(stack, "beats")
    for _ in range(3):
        time.sleep(0.5)
        states.send_task_heartbeat(taskToken=token)
    error = json.loads(stack.finish(execution)["output"])["error"]
    assert error["Error"] == "States.HeartbeatTimeout"
    assert time.monotonic() - begun >= 2.5


def test_the_timeout_can_be_a_path_into_the_input(stack: Stack) -> None:
    machine = stack.machine("path", ask({}, TimeoutSecondsPath="$.limit"))
    begun = time.monotonic()
    ended = stack.finish(stack.start(machine, {"limit": 1}))
    assert json.loads(ended["output"])["error"]["Error"] == "States.Timeout"
    assert time.monotonic() - begun < 4
    for wrong in (0, -1, "1", 1.5, None):
        ended = stack.finish(stack.start(machine, {"limit": wrong}))
        assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime"), wrong


def test_every_attempt_has_a_separate_token(stack: Stack) -> None:
    failure = {"errorType": "Again", "errorMessage": ""}
    again = {"ErrorEquals": ["Again"], "MaxDelaySeconds": 1, "MaxAttempts": 2, "JitterStrategy": "FULL"}
    stack.run("again", ask({"mark": "attempts", "fail": failure}, Retry=[again]))
    tokens = tokens_of(stack, "attempts")
    assert len(tokens) == len(set(tokens)) == 3


def test_retry_delays_increase_to_the_maximum_with_jitter_below_it() -> None:
    retrier = {"IntervalSeconds": 2, "BackoffRate": 3, "MaxDelaySeconds": 10}
    assert [retry_delay(retrier, done) for done in range(4)] == [2, 6, 10, 10]
    jittered = {**retrier, "JitterStrategy": "FULL"}
    samples = [retry_delay(jittered, 1) for _ in range(200)]
    assert all(0 <= sample <= 6 for sample in samples)
    assert max(samples) > 3 > min(samples)


def test_a_failed_condition_of_a_waiting_update_can_be_caught(stack: Stack) -> None:
    stack.client("dynamodb").put_item(TableName="toy-table", Item={"id": {"S": "free"}})
    update = {
        "Type": "Task",
        "Resource": "arn:aws:states:::aws-sdk:dynamodb:updateItem.waitForTaskToken",
        "Parameters": {
            "TableName": "${Table}",
            "Key": {"id": {"S.$": "$.id"}},
            "UpdateExpression": "SET #t = :t",
            "ConditionExpression": "attribute_exists(waiting_on)",
            "ExpressionAttributeNames": {"#t": "token"},
            "ExpressionAttributeValues": {":t": {"S.$": "$$.Task.Token"}},
        },
        "Catch": [{"ErrorEquals": ["DynamoDb.ConditionalCheckFailedException"], "Next": "Free"}],
        "TimeoutSeconds": 20,
        "Next": "Waited",
    }
    ends = {"Free": {"Type": "Pass", "Result": "free", "End": True}, "Waited": {"Type": "Pass", "End": True}}
    definition = {"StartAt": "Await", "States": {"Await": update, **ends}}
    stack.control("counts/reset", "POST")
    assert json.loads(stack.run("await", definition, {"id": "free"})["output"]) == "free"
    assert stack.counts()["by_states"] == {"dynamodb:UpdateItem": 1}

    table = stack.client("dynamodb")
    table.put_item(TableName="toy-table", Item={"id": {"S": "held"}, "waiting_on": {"SS": ["a"]}})
    execution = stack.start(stack.machine("await", definition), {"id": "held"})

    def token() -> Any:
        return table.get_item(TableName="toy-table", Key={"id": {"S": "held"}})["Item"].get("token")

    stack.client("stepfunctions").send_task_success(taskToken=until(token)["S"], output='{"go": true}')
    assert json.loads(stack.finish(execution)["output"]) == {"go": True}


def test_states_all_does_not_catch_a_runtime_error(stack: Stack) -> None:
    definition = {"StartAt": "Ask", "States": {**ask({}, TimeoutSecondsPath="$.none")["States"]}}
    ended = stack.run("runtime", definition)
    assert (ended["status"], ended["error"]) == ("FAILED", "States.Runtime")


def test_an_inline_map_runs_forty_iterations_concurrently_with_its_context(stack: Stack) -> None:
    item = {"Type": "Wait", "Seconds": 1, "End": True}
    everything = {
        "Type": "Map",
        "MaxConcurrency": 0,
        "ItemsPath": "$.items",
        "ItemSelector": {
            "item.$": "$$.Map.Item.Value",
            "index.$": "$$.Map.Item.Index",
            "name.$": "$$.Execution.Name",
            "id.$": "$$.Execution.Id",
            "start.$": "$$.Execution.StartTime",
            "of.$": "$.of",
        },
        "ItemProcessor": {"StartAt": "One", "States": {"One": item}},
        "ResultSelector": {"first.$": "$[0]", "all.$": "$[*].item"},
        "End": True,
    }
    begun = time.monotonic()
    ended = stack.run("forty", {"StartAt": "All", "States": {"All": everything}}, {"of": "x", "items": list(range(41))})
    output = json.loads(ended["output"])
    assert 2.0 <= time.monotonic() - begun < 3.5
    assert output["all"] == list(range(41))
    assert output["first"]["name"] == ended["name"]
    assert output["first"]["id"] == ended["executionArn"]
    assert output["first"]["index"] == 0
    assert output["first"]["of"] == "x"
    assert output["first"]["start"].endswith("Z")
