"""Deploys `infra/template.yaml`, with functions that do nothing, in the forms that its parameters allow."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from ministack.services.cloudformation import engine

from local.stack import deploy

from .harness import Stack

TEMPLATE = Path(__file__).parents[3] / "infra" / "template.yaml"
PLAIN = {"Architecture": deploy.OVERRIDES["Architecture"], "WorkgroupName": "local"}
KAFKA = "arn:aws:kafka:us-east-1:000000000000:cluster/changes/11111111-2222-3333-4444-555555555555-1"
SECRET = "arn:aws:secretsmanager:us-east-1:000000000000:secret:kafka-AbCdEf"
SERVERS = {"KafkaBootstrapServers": "b-1.example.com:9092,b-2.example.com:9092"}
NETWORK = {"KafkaSubnetId": "subnet-0a", "KafkaSubnetId2": "subnet-0b", "KafkaSecurityGroupId": "sg-0a"}

Deploy = Callable[..., dict[str, str]]


class Stacks:
    """Stacks of the template, each under a name of its own."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.cloudformation = stack.client("cloudformation")
        functions = folder / "functions"
        functions.mkdir()
        for function in (TEMPLATE.parents[1] / "functions").iterdir():
            (functions / function.name).write_text("#!/bin/sh\nsleep 3600\n")
        self.settings = replace(stack.settings, template=TEMPLATE, bin_dir=functions)
        self.created: list[str] = []

    def create(self, name: str, **parameters: str) -> dict[str, str]:
        """Creates a stack, and returns its outputs. Raises `SystemExit` with the reasons if that fails."""
        template = deploy.yaml_parse(TEMPLATE.read_text())
        s3 = boto3.session.Session().client("s3")
        deploy._ensure_bucket(s3)
        deploy._upload_local_paths(template, self.settings, s3)
        key = f"{name}/template.json"
        s3.put_object(Bucket=deploy.ARTIFACTS, Key=key, Body=json.dumps(template).encode())
        self.cloudformation.create_stack(
            StackName=name,
            TemplateURL=f"{s3.meta.endpoint_url}/{deploy.ARTIFACTS}/{key}",
            Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in (PLAIN | parameters).items()],
            Capabilities=deploy.CAPABILITIES,
        )
        self.created.append(name)
        described = self.settled(name)
        if described["StackStatus"] != "CREATE_COMPLETE":
            raise SystemExit(deploy._why(self.cloudformation, described))
        return deploy._outputs(described)

    def delete(self, name: str) -> None:
        self.cloudformation.delete_stack(StackName=name)
        assert self.settled(name) is None or self.settled(name)["StackStatus"] == "DELETE_COMPLETE"
        self.created.remove(name)

    def settled(self, name: str) -> Any:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                described = self.cloudformation.describe_stacks(StackName=name)["Stacks"][0]
            except ClientError:
                return None
            if not described["StackStatus"].endswith("IN_PROGRESS"):
                return described
            time.sleep(0.05)
        raise AssertionError(f"the stack {name} does not settle")

    def resources(self, name: str) -> dict[str, str]:
        """The physical IDs of the resources, by their logical IDs."""
        pages = self.cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
        found = [resource for page in pages for resource in page["StackResourceSummaries"]]
        return {resource["LogicalResourceId"]: resource.get("PhysicalResourceId", "") for resource in found}


@pytest.fixture
def stacks(stack: Stack, tmp_path: Path) -> Iterator[Stacks]:
    found = Stacks(stack, tmp_path)
    yield found
    for name in list(found.created):
        found.delete(name)


def test_a_deleted_stack_can_be_deployed_again_and_its_records_are_kept(stacks: Stacks, stack: Stack) -> None:
    first = stacks.create("again")
    stack.client("dynamodb").put_item(
        TableName=first["WorkflowAuditTable"],
        Item={"workflow_execution_id": {"S": "r"}, "workflow_id": {"S": "w"}, "created_ts": {"S": "2026-11-21"}},
    )
    stacks.delete("again")
    kept = stack.client("dynamodb").get_item(
        TableName=first["WorkflowAuditTable"], Key={"workflow_execution_id": {"S": "r"}}
    )
    assert "Item" in kept
    assert stack.client("s3").head_bucket(Bucket=first["ScriptsBucket"])
    assert stacks.create("again").keys() == first.keys()


def test_two_stacks_have_names_of_their_own(stacks: Stacks) -> None:
    one, other = stacks.create("one"), stacks.create("other")
    assert {name for name in one if one[name] == other[name]} == {"EventBus"}


def test_alarms_can_be_left_out(stacks: Stacks) -> None:
    stacks.create(
        "quiet", Alarms="off", LandingBucketNames="a,b", DocumentsBucketName="documents", KafkaClusterArn=KAFKA
    )
    left = [name for name in stacks.resources("quiet") if name.endswith("Alarm") or name == "Dashboard"]
    assert left == []


@pytest.mark.parametrize(("landing", "schedule"), [("", False), ("a,b", True)])
def test_feeds_are_planned_where_there_are_landing_buckets(stacks: Stacks, landing: str, schedule: bool) -> None:
    stacks.create("planned", LandingBucketNames=landing)
    assert ("FileSchedule" in stacks.resources("planned")) is schedule


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (SERVERS | {"KafkaSecretArn": SECRET}, [("SASL_SCRAM_512_AUTH", SECRET)]),
        (
            SERVERS | {"KafkaSecretArn": SECRET, "KafkaAuthentication": "CLIENT_CERTIFICATE_TLS_AUTH"},
            [("CLIENT_CERTIFICATE_TLS_AUTH", SECRET)],
        ),
        (
            SERVERS | NETWORK,
            [
                ("VPC_SUBNET", "subnet:subnet-0a"),
                ("VPC_SUBNET", "subnet:subnet-0b"),
                ("VPC_SECURITY_GROUP", "security_group:sg-0a"),
            ],
        ),
        (
            SERVERS | NETWORK | {"KafkaSecretArn": SECRET, "KafkaServerCertificateSecretArn": f"{SECRET}-ca"},
            [
                ("SASL_SCRAM_512_AUTH", SECRET),
                ("VPC_SUBNET", "subnet:subnet-0a"),
                ("VPC_SUBNET", "subnet:subnet-0b"),
                ("VPC_SECURITY_GROUP", "security_group:sg-0a"),
                ("SERVER_ROOT_CA_CERTIFICATE", f"{SECRET}-ca"),
            ],
        ),
    ],
)
def test_brokers_are_reached_with_credentials_or_within_a_network(
    stacks: Stacks, parameters: dict[str, str], expected: list[tuple[str, str]]
) -> None:
    stacks.create("brokers", **parameters)
    assert stacks.resources("brokers")["SelfManagedKafkaChanges"]
    # MiniStack does not keep the properties of a mapping, so its resolver shows them.
    properties = resolved("SelfManagedKafkaChanges", parameters)
    found = [(access["Type"], access["URI"]) for access in properties["SourceAccessConfigurations"]]
    assert found == expected
    brokers = properties["SelfManagedEventSource"]["Endpoints"]["KafkaBootstrapServers"]
    assert brokers == ["b-1.example.com:9092", "b-2.example.com:9092"]


def resolved(resource: str, given: dict[str, str]) -> dict[str, Any]:
    """The properties of a resource with its intrinsic functions resolved."""
    template = deploy.yaml_parse(TEMPLATE.read_text())
    parameters = engine._resolve_parameters(
        template, [{"Key": name, "Value": value} for name, value in (PLAIN | given).items()]
    )
    conditions = engine._evaluate_conditions(template, parameters)
    properties: dict[str, Any] = engine._resolve_refs(
        template["Resources"][resource]["Properties"], {}, parameters, conditions, {}, "brokers", "arn"
    )
    return properties


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (SERVERS, "KafkaBootstrapServers requires KafkaSecretArn"),
        (SERVERS | {"KafkaSubnetId": "subnet-0a"}, "KafkaSubnetId requires KafkaSecurityGroupId"),
        (SERVERS | {"KafkaSecretArn": SECRET, "KafkaSecurityGroupId": "sg-0a"}, "require KafkaSubnetId"),
        (SERVERS | {"KafkaSecretArn": SECRET, "KafkaClusterArn": KAFKA}, "Set either KafkaClusterArn or"),
        ({"KafkaClusterArn": KAFKA} | NETWORK, "KafkaSubnetId is for KafkaBootstrapServers"),
        ({"SecretKeyArn": "arn:aws:kms:us-east-1:000000000000:key/a"}, "SecretKeyArn requires SecretArn"),
    ],
)
def test_parameters_that_do_not_fit_together_are_refused_with_the_fix(
    stacks: Stacks, parameters: dict[str, str], reason: str
) -> None:
    with pytest.raises(ClientError) as failure:
        stacks.create("refused", **parameters)
    assert reason in str(failure.value)
