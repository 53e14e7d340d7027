"""Lints every policy of the template with parliament: unknown actions, and resources that an action does not take."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from parliament import analyze_policy_string
from samtranslator.yaml_helper import yaml_parse

TEMPLATE = Path(__file__).parents[2] / "infra" / "template.yaml"

PSEUDO = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "shiftwork",
    "AWS::URLSuffix": "amazonaws.com",
}

ARNS = {
    "AWS::DynamoDB::Table": "arn:aws:dynamodb:eu-central-1:123456789012:table/{}",
    "AWS::Events::EventBus": "arn:aws:events:eu-central-1:123456789012:event-bus/{}",
    "AWS::IAM::Role": "arn:aws:iam::123456789012:role/{}",
    "AWS::Logs::LogGroup": "arn:aws:logs:eu-central-1:123456789012:log-group:{}:*",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::SNS::Topic": "arn:aws:sns:eu-central-1:123456789012:{}",
    "AWS::SQS::Queue": "arn:aws:sqs:eu-central-1:123456789012:{}",
    "AWS::Scheduler::ScheduleGroup": "arn:aws:scheduler:eu-central-1:123456789012:schedule-group/{}",
    "AWS::Serverless::Function": "arn:aws:lambda:eu-central-1:123456789012:function:{}",
    "AWS::Serverless::StateMachine": "arn:aws:states:eu-central-1:123456789012:stateMachine:{}",
}
"""ARN of a resource, by its type."""

PARAMETERS = {
    "ChangeFileArns": "arn:aws:s3:::changes/*",
    "ChangeFileKeyArns": "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555",
    "ChangeStreamArn": "arn:aws:kinesis:eu-central-1:123456789012:stream/changes",
    "ChangeTableStreamArn": "arn:aws:dynamodb:eu-central-1:123456789012:table/orders/stream/2026-11-21",
    "DocumentsKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555",
    "KafkaClusterArn": "arn:aws:kafka:eu-central-1:123456789012:cluster/changes/11111111-2222-3333-4444-555555555555",
    "KafkaSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka",
    "KafkaSecretKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555",
    "KafkaServerCertificateSecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:kafka-ca",
    "LandingKeyArns": "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555",
    "SecretArn": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:warehouse",
    "SecretKeyArn": "arn:aws:kms:eu-central-1:123456789012:key/11111111-2222-3333-4444-555555555555",
    "WorkgroupArn": "arn:aws:redshift-serverless:eu-central-1:123456789012:workgroup/main",
}
"""Values of parameters that are ARNs."""

ACCEPTED = {
    # Its data knows the resource of express executions only; the Service Authorization Reference has both.
    ("RESOURCE_MISMATCH", "states:DescribeExecution"),
    # Lambda's guide to MSK event sources gives these actions every resource.
    ("RESOURCE_STAR", "ec2:CreateNetworkInterface"),
}
"""Findings that are not mistakes: the issue and an action."""

Value = Any

DOCUMENT = yaml_parse(TEMPLATE.read_text())


def resolve(value: Value) -> Value:
    """The value with intrinsic functions replaced by plausible text. Of a condition, the first branch is taken."""
    if isinstance(value, list):
        found = [resolve(item) for item in value]
        return [item for item in found if item is not None]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((name, given),) = value.items()
        if name == "Ref":
            return reference(given)
        if name == "Fn::GetAtt":
            resource, attribute = given if isinstance(given, list) else given.split(".", 1)
            assert attribute == "Arn", value
            return ARNS[DOCUMENT["Resources"][resource]["Type"]].format(resource.lower())
        if name == "Fn::If":
            return resolve(given[1])
        if name == "Fn::Join":
            return given[0].join(resolve(given[1]))
        if name == "Fn::Split":
            return resolve(given[1]).split(given[0])
        if name == "Fn::Sub":
            text, own = given if isinstance(given, list) else (given, {})
            return re.sub(r"\$\{([^}]+)\}", lambda match: variable(match[1], own), text)
        assert not name.startswith("Fn::"), f"no rule for {name}"
    return {name: resolve(item) for name, item in value.items()}


def reference(name: str) -> str | None:
    """What `Ref` returns. That of a topic is its ARN."""
    if name == "AWS::NoValue":
        return None
    known = PSEUDO | PARAMETERS
    is_topic = DOCUMENT["Resources"].get(name, {}).get("Type") == "AWS::SNS::Topic"
    return known.get(name) or (ARNS["AWS::SNS::Topic"] if is_topic else "{}").format(name.lower())


def variable(name: str, own: dict[str, Value]) -> str:
    if name in own:
        return resolve(own[name])
    return resolve({"Fn::GetAtt": name} if "." in name else {"Ref": name})


def policies(value: Value, place: str) -> Iterator[tuple[str, Value]]:
    """Policies of identities and resources. A trust policy names no resource, which parliament reports as an error."""
    if isinstance(value, list):
        for position, item in enumerate(value):
            yield from policies(item, f"{place}[{position}]")
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "PolicyDocument":
                yield place, item
            else:
                yield from policies(item, f"{place}.{name}")


POLICIES = [found for name, resource in DOCUMENT["Resources"].items() for found in policies(resource, name)]


@pytest.mark.parametrize(("place", "policy"), POLICIES, ids=[place for place, _ in POLICIES])
def test_a_policy_has_no_findings(place: str, policy: Value) -> None:
    findings = [
        finding
        for finding in analyze_policy_string(json.dumps(resolve(policy))).findings
        if not any(finding.issue == issue and action in str(finding.detail) for issue, action in ACCEPTED)
    ]
    assert not findings, "\n".join(f"{TEMPLATE.name}, {place}: {finding}" for finding in findings)


def test_a_resource_that_an_action_does_not_take_is_found() -> None:
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::bucket"}
    findings = analyze_policy_string(json.dumps({"Version": "2012-10-17", "Statement": [statement]})).findings
    assert [finding.issue for finding in findings] == ["RESOURCE_MISMATCH"]
