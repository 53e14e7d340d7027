"""Repeated deployments: unchanged, updated, and failed with a reason."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from local.stack import deploy

from .harness import Stack, until

TOY = Path(__file__).parent / "toy"


def test_a_second_deployment_applies_changes(stack: Stack, tmp_path: Path) -> None:
    session = boto3.session.Session()
    assert deploy.deploy(stack.settings, session).action == "unchanged"
    copy = Path(shutil.copytree(TOY, tmp_path / "toy"))
    changed = replace(stack.settings, template=copy / "template.yaml")
    bootstrap, machine, template = copy / "echo" / "bootstrap", copy / "run.asl.json", copy / "template.yaml"
    bootstrap.write_text(bootstrap.read_text().replace("return event\n", 'return {"new": event}\n'))
    machine.write_text(machine.read_text().replace('"said.$": "$.say"', '"said.$": "$.say", "more": 1'))
    queue = "Resources:\n  Another:\n    Type: AWS::SQS::Queue\n    Properties: { QueueName: toy-another }\n"
    template.write_text(template.read_text().replace("Resources:\n", queue))
    stack.client("dynamodb").put_item(TableName="toy-table", Item={"id": {"S": "kept"}})
    try:
        assert deploy.deploy(changed, session).action == "updated"
        assert until(lambda: (found := stack.invoke([1])) != [1] and found) == {"new": [1]}
        described = stack.client("stepfunctions").describe_state_machine(stateMachineArn=stack.outputs["Machine"])
        assert '"more": 1' in described["definition"]
        assert stack.client("sqs").get_queue_url(QueueName="toy-another")["QueueUrl"]
        assert "Item" in stack.client("dynamodb").get_item(TableName="toy-table", Key={"id": {"S": "kept"}})
    finally:
        assert deploy.deploy(stack.settings, session).action == "updated"


def test_the_deployed_machine_runs(stack: Stack) -> None:
    ended = stack.finish(stack.start(stack.outputs["Machine"], {"say": "hello"}))
    assert json.loads(ended["output"])["response"] == {"said": "hello"}


def test_a_failed_deployment_names_the_resource_and_the_reason(stack: Stack, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(TOY, tmp_path / "toy"))
    template = copy / "template.yaml"
    queue = "Resources:\n  Bad:\n    Type: AWS::SQS::Queue\n    Properties: { QueueName: not-fifo, FifoQueue: true }\n"
    template.write_text(template.read_text().replace("Resources:\n", queue))
    session = boto3.session.Session()
    with pytest.raises(SystemExit) as failure:
        deploy.deploy(replace(stack.settings, template=template), session)
    assert "Bad (AWS::SQS::Queue): " in str(failure.value)
    assert "fifo" in str(failure.value)
    assert stack.invoke({"reply": {"still": "there"}}) == {"still": "there"}
    assert deploy.deploy(stack.settings, session).action == "unchanged"


def test_code_that_is_not_built_is_reported(stack: Stack, tmp_path: Path) -> None:
    template = tmp_path / "template.yaml"
    template.write_text("Resources: {F: {Type: AWS::Serverless::Function, Properties: {CodeUri: gone/}}}\n")
    with pytest.raises(SystemExit, match=r"F\.CodeUri: .*gone does not exist: build it first"):
        deploy.deploy(replace(stack.settings, template=template), boto3.session.Session())
