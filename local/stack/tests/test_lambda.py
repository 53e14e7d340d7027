"""Functions: invocation time, execution roles, and kills at the configured points."""

from __future__ import annotations

import json
import time
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from .harness import Stack, until


def calls(*orders: dict[str, Any]) -> dict[str, Any]:
    return {"calls": list(orders)}


def put(key: str) -> dict[str, Any]:
    parameters = {"TableName": "toy-table", "Item": {"id": {"S": key}}}
    return {"service": "dynamodb", "operation": "put_item", "parameters": parameters}


def get(key: str, **fields: str) -> dict[str, Any]:
    parameters = {"TableName": "toy-table", "Key": {"id": {"S": key}}}
    return {"service": "dynamodb", "operation": "get_item", "parameters": parameters, **fields}


def test_a_warm_invocation_costs_milliseconds(stack: Stack) -> None:
    client = stack.client("lambda")
    times = []
    for _ in range(30):
        begun = time.perf_counter()
        client.invoke(FunctionName="toy-echo", Payload=b'{"a": 1}')["Payload"].read()
        times.append(time.perf_counter() - begun)
    # # MiniStack without patches needs 90 ms: 40 for Nagle's algorithm, 50 for a log line that is not written.
    assert sorted(times)[15] < 0.04


def test_a_function_has_only_the_permissions_of_its_role(stack: Stack) -> None:
    response = stack.invoke(calls(put("own"), get("own"), {"service": "sts", "operation": "get_caller_identity"}))
    done, denied, identity = response["responses"]
    assert "error" not in done
    assert denied == {"error": "AccessDeniedException"}
    role = stack.outputs["EchoRole"].rsplit("/", 1)[-1]
    assert identity["Arn"] == f"arn:aws:sts::000000000000:assumed-role/{role}/toy-echo"


def test_a_role_can_be_assumed_only_by_principals_in_its_trust_policy(stack: Stack) -> None:
    lender, other = (f"arn:aws:iam::000000000000:role/toy-{name}" for name in ("lender", "other"))
    stack.invoke(calls(put("lent")))
    assert stack.invoke(calls(get("lent", assume=lender)))["responses"][0]["Item"] == {"id": {"S": "lent"}}
    response = stack.invoke(calls(get("lent", assume=other)))
    assert response["errorType"] == "Runtime.ExitError"  # AccessDenied, which the function does not catch


def test_the_principal_of_an_access_key(stack: Stack) -> None:
    assert stack.control("principal?access_key_id=test")["arn"] == "arn:aws:iam::000000000000:root"
    parameters = {"RoleArn": "arn:aws:iam::000000000000:role/toy-lender", "RoleSessionName": "me"}
    response = stack.invoke(calls({"service": "sts", "operation": "assume_role", "parameters": parameters}))
    role = response["responses"][0]["Credentials"]
    found = stack.control(f"principal?access_key_id={role['AccessKeyId']}")
    assert found["arn"] == "arn:aws:sts::000000000000:assumed-role/toy-lender/me"
    with pytest.raises(OSError, match="404"):
        stack.control("principal?access_key_id=ASIAUNKNOWNUNKNOWNUN")


def test_requests_are_counted(stack: Stack) -> None:
    stack.control("counts/reset", "POST")
    stack.invoke(calls(put("counted"), put("counted")))
    found = stack.counts()
    assert found["requests"] == {"dynamodb:PutItem": 2, "lambda:InvokeFunction": 1}
    assert found["by_function"] == {"toy-echo dynamodb:PutItem": 2}
    assert found["invocations"] == {"toy-echo": 1}


@pytest.mark.parametrize(
    ("at", "call", "left"),
    [("start", 1, []), ("before-call", 2, ["a"]), ("after-call", 2, ["a", "b"]), ("end", 1, ["a", "b", "c"])],
)
def test_a_kill_keeps_the_effects_of_earlier_calls(stack: Stack, at: str, call: int, left: list[str]) -> None:
    table = stack.client("dynamodb")
    keys = ["a", "b", "c"]
    for key in keys:
        table.delete_item(TableName="toy-table", Key={"id": {"S": f"kill-{key}"}})
    stack.control("faults", "POST", {"kind": "kill", "function": "toy-e*", "invocation": 2, "at": at, "call": call})
    stack.invoke({"reply": {}})
    response = stack.invoke(calls(*(put(f"kill-{key}") for key in keys)))
    assert response["errorType"] == "Runtime.ExitError"
    found = [k for k in keys if "Item" in table.get_item(TableName="toy-table", Key={"id": {"S": f"kill-{k}"}})]
    assert found == left
    assert stack.control("faults") == []
    assert stack.invoke({"reply": {"alive": True}}) == {"alive": True}


ONCE = {"config": Config(retries={"total_max_attempts": 1})}


@pytest.mark.parametrize(
    ("service", "call", "operation", "error"),
    [
        ("dynamodb", "list_tables", "dynamodb:ListTables", "ThrottlingException"),
        ("sqs", "list_queues", "sqs:List*", "RequestThrottled"),
        ("sts", "get_caller_identity", "sts:GetCallerIdentity", "Throttling"),
        ("s3", "list_buckets", "s3:*", "SlowDown"),
        ("lambda", "list_functions", "lambda:ListFunctions", "TooManyRequestsException"),
        ("scheduler", "list_schedules", "scheduler:ListSchedules", "ThrottlingException"),
        ("redshift-data", "list_statements", "redshift-data:*", "ActiveStatementsExceededException"),
    ],
)
def test_a_throttled_operation_is_rejected_a_fixed_number_of_times(
    stack: Stack, service: str, call: str, operation: str, error: str
) -> None:
    client = boto3.client(service, endpoint_url=f"http://127.0.0.1:{stack.port}", **ONCE)
    stack.control("faults", "POST", {"kind": "throttle", "operation": operation, "count": 2, "error": error})
    for _ in range(2):
        with pytest.raises(ClientError) as refused:
            getattr(client, call)()
        assert refused.value.response["Error"]["Code"] == error
    assert stack.control("faults") == []


def test_a_response_is_lost_and_a_request_is_slow(stack: Stack) -> None:
    client = boto3.client("dynamodb", endpoint_url=f"http://127.0.0.1:{stack.port}", **ONCE)
    stack.control("faults", "POST", {"kind": "lose", "operation": "dynamodb:PutItem", "error": "InternalServerError"})
    stack.control("faults", "POST", {"kind": "slow", "operation": "dynamodb:PutItem", "seconds": 0.5})
    begun = time.monotonic()
    with pytest.raises(ClientError) as refused:
        client.put_item(TableName="toy-table", Item={"id": {"S": "lost"}})
    assert refused.value.response["Error"]["Code"] == "InternalServerError"
    assert time.monotonic() - begun >= 0.5
    assert client.get_item(TableName="toy-table", Key={"id": {"S": "lost"}})["Item"] == {"id": {"S": "lost"}}
    assert stack.control("faults") == []


def test_step_functions_do_not_get_a_lost_response(stack: Stack) -> None:
    stack.control("faults", "POST", {"kind": "lose", "operation": "lambda:*", "error": "ServiceException"})
    task = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True}
    task["Parameters"] = {"FunctionName": "${Echo}", "Payload": {"reply": {"mark": "lost-by-states"}}}
    ended = stack.run("lost", {"StartAt": "Ask", "States": {"Ask": task}})
    assert (ended["status"], ended["error"]) == ("FAILED", "Lambda.ServiceException")
    assert [note for note in stack.notes("toy-echo") if note == {"reply": {"mark": "lost-by-states"}}]


def test_a_call_of_step_functions_is_throttled_too(stack: Stack) -> None:
    stack.control("faults", "POST", {"kind": "throttle", "operation": "lambda:*", "error": "TooManyRequestsException"})
    task = {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": True}
    task["Parameters"] = {"FunctionName": "${Echo}", "Payload": {"reply": {}}}
    task["Retry"] = [{"ErrorEquals": ["Lambda.TooManyRequestsException"], "IntervalSeconds": 1, "MaxAttempts": 1}]
    ended = stack.run("throttled", {"StartAt": "Ask", "States": {"Ask": task}})
    assert ended["status"] == "SUCCEEDED"
    assert stack.control("faults") == []


def test_an_unknown_fault_is_rejected(stack: Stack) -> None:
    with pytest.raises(OSError, match="400"):
        stack.control("faults", "POST", {"kind": "explode"})


def test_data_api_requests_are_authorized_and_forwarded(stack: Stack) -> None:
    with pytest.raises(ClientError, match="cannot connect"):
        stack.client("redshift-data").list_statements()
    order = {"service": "redshift-data", "operation": "list_statements", "parameters": {}}
    assert stack.invoke(calls(order))["responses"] == [{"error": "AccessDeniedException"}]


def test_an_event_is_delivered_again_after_a_crash(stack: Stack) -> None:
    stack.control("faults", "POST", {"kind": "kill", "function": "toy-sink", "at": "end"})
    entry = {"Source": "toy", "DetailType": "Toy", "Detail": json.dumps({"mark": "again"})}
    stack.client("events").put_events(Entries=[entry])

    def seen() -> int:
        return len([n for n in stack.notes("toy-sink") if n.get("detail", {}).get("mark") == "again"])

    until(lambda: seen() == 2, 30)
