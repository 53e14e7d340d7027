"""Access to a stack for tests, and waiting for conditions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import boto3

from local.stack import ministack
from local.stack.settings import Settings


class Stack:
    """The local stack under test."""

    def __init__(self, settings: Settings, port: int, redshift_port: int) -> None:
        self.settings = settings
        self.port = port
        self.redshift_port = redshift_port
        self.outputs: dict[str, str] = {}

    def client(self, service: str, **credentials: str) -> Any:
        return boto3.client(service, endpoint_url=f"http://127.0.0.1:{self.port}", **credentials)

    def control(self, path: str, method: str = "GET", body: object = None) -> Any:
        return ministack.call(self.port, path, method, body)

    def counts(self) -> Any:
        return self.control("counts")

    def invoke(self, event: object, function: str = "toy-echo") -> Any:
        response = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
        return json.load(response["Payload"])

    def notes(self, function: str) -> list[Any]:
        """The events that the function received, in order."""
        path = self.settings.state / "tmp" / f"{function}.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def machine(self, name: str, definition: dict[str, Any]) -> str:
        """Creates or replaces a state machine; `Echo` is the function that does what its event requests."""
        states = self.client("stepfunctions")
        text = json.dumps(definition).replace("${Echo}", "toy-echo").replace("${Table}", self.outputs["Table"])
        arn = f"arn:aws:states:us-east-1:000000000000:stateMachine:{name}"
        try:
            states.create_state_machine(name=name, definition=text, roleArn=self.outputs["StatesRole"])
        except states.exceptions.StateMachineAlreadyExists:
            states.update_state_machine(stateMachineArn=arn, definition=text)
        return arn

    def start(self, machine: str, input_data: object = None, **names: str) -> str:
        states = self.client("stepfunctions")
        text = json.dumps({} if input_data is None else input_data)
        return str(states.start_execution(stateMachineArn=machine, input=text, **names)["executionArn"])

    def finish(self, execution: str, timeout: float = 20.0) -> Any:
        """Waits for the end of the execution."""
        states = self.client("stepfunctions")
        return until(
            lambda: (found := states.describe_execution(executionArn=execution))["status"] != "RUNNING" and found,
            timeout,
        )

    def run(self, name: str, definition: dict[str, Any], input_data: object = None) -> Any:
        return self.finish(self.start(self.machine(name, definition), input_data))


def until(holds: Callable[[], Any], timeout: float = 20.0) -> Any:
    """Returns the result of `holds` when it is true; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not (found := holds()):
        assert time.monotonic() < deadline, f"the condition was not true within {timeout} s"
        time.sleep(0.03)
    return found


def shape(value: Any) -> Any:
    """The names and types of a JSON document, without its values."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in sorted(value.items())}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__
