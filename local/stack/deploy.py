"""Deploys the SAM template to the local stack, as `sam deploy` deploys it to AWS: the same template, unmodified.

Local paths (`CodeUri`, `DefinitionUri`) are packaged and uploaded to an artifacts bucket with the hash of their content
as the key; the stack is created, or updated if anything has changed. The template refers to the binaries that
cargo-lambda cross-compiles in `target/lambda/<function>/`; the local stack uses `target/<profile>/<function>` instead.
"""

from __future__ import annotations

import hashlib
import io
import json
import platform
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from samtranslator.yaml_helper import yaml_parse

from . import sources
from .settings import STACK, Settings

ARTIFACTS = "shiftwork-artifacts"
CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
OVERRIDES = {
    "Architecture": "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64",
    "WorkgroupName": "local",
    "Database": "dev",
    "DocumentsBucketName": "shiftwork-documents",
    "LandingBucketNames": "shiftwork-landing,shiftwork-landing-bus,shiftwork-landing-topic,shiftwork-landing-both",
}
"""Parameter values of the local stack, which are set if the template has the parameter."""

SETTLED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
NEVER_CREATED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED")
"""A stack whose creation failed can only be deleted; a stack whose update failed contains data and can be updated."""

_LOCAL_PATHS = {"AWS::Serverless::Function": "CodeUri", "AWS::Serverless::StateMachine": "DefinitionUri"}


@dataclass(frozen=True)
class Deployed:
    """The action of a deployment (`created`, `updated` or `unchanged`), and the outputs of the stack."""

    action: str
    outputs: dict[str, str]


def deploy(settings: Settings, session: Any) -> Deployed:
    """Packages and deploys the template. Raises `SystemExit` with the failed resources and their reasons."""
    template = yaml_parse(settings.template.read_text())
    s3 = session.client("s3")
    _ensure_bucket(s3)
    _upload_local_paths(template, settings, s3)
    body = json.dumps(template, sort_keys=True)
    known = set(template.get("Parameters", {}))
    parameters = {name: value for name, value in OVERRIDES.items() if name in known} | sources.ensure(session, known)
    digest = hashlib.sha256((body + json.dumps(parameters)).encode()).hexdigest()
    cloudformation = session.client("cloudformation")
    stack = _describe(cloudformation)
    if stack is not None and stack["StackStatus"] in NEVER_CREATED:
        cloudformation.delete_stack(StackName=STACK)
        _wait(cloudformation, gone=True)
        stack = None
    if stack is not None and stack["StackStatus"] in SETTLED and _tag(stack) == digest:
        return Deployed("unchanged", _outputs(stack))
    key = f"{STACK}/template-{digest}.json"
    s3.put_object(Bucket=ARTIFACTS, Key=key, Body=body.encode())
    request = {
        "StackName": STACK,
        "TemplateURL": f"{s3.meta.endpoint_url}/{ARTIFACTS}/{key}",
        "Parameters": [{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
        "Capabilities": CAPABILITIES,
        "Tags": [{"Key": "shiftwork:template", "Value": digest}],
    }
    try:
        (cloudformation.update_stack if stack else cloudformation.create_stack)(**request)
    except ClientError as failure:
        if stack is not None and "No updates are to be performed" in str(failure):
            return Deployed("unchanged", _outputs(stack))
        raise SystemExit(f"CloudFormation rejects {settings.template}: {failure}") from failure
    settled = _wait(cloudformation)
    if settled["StackStatus"] not in SETTLED:
        raise SystemExit(_why(cloudformation, settled))
    return Deployed("updated" if stack else "created", _outputs(settled))


def _ensure_bucket(s3: Any) -> None:
    try:
        s3.head_bucket(Bucket=ARTIFACTS)
    except ClientError:
        s3.create_bucket(Bucket=ARTIFACTS)


def _upload_local_paths(template: dict[str, Any], settings: Settings, s3: Any) -> None:
    """Uploads the content of every local path in the template, and replaces the path with the S3 URL."""
    known = {item["Key"] for item in s3.list_objects_v2(Bucket=ARTIFACTS).get("Contents", [])}
    for name, resource in template.get("Resources", {}).items():
        if name.startswith("Fn::ForEach::"):  # a loop, which the stack expands; nothing in it has a local path
            continue
        field = _LOCAL_PATHS.get(resource.get("Type", ""))
        path = resource.get("Properties", {}).get(field) if field else None
        if field is None or not isinstance(path, str) or path.startswith("s3://"):
            continue
        source = (settings.template.parent / path).resolve()
        files = code_files(source, settings) if field == "CodeUri" else {source.name: source}
        missing = [str(file) for file in files.values() if not file.exists()]
        if missing or not files:
            raise SystemExit(f"{name}.{field}: {', '.join(missing) or source} does not exist: build it first")
        key = f"{STACK}/{name}-{_digest(files)}"
        if key not in known:
            content = zipped(files) if field == "CodeUri" else source.read_bytes()
            s3.put_object(Bucket=ARTIFACTS, Key=key, Body=content)
        resource["Properties"][field] = f"s3://{ARTIFACTS}/{key}"


def code_files(source: Path, settings: Settings) -> dict[str, Path]:
    """The files of a function's package, by their names in the package."""
    if source.parent == settings.root / "target" / "lambda":
        return {"bootstrap": settings.bin_dir / source.name}
    return {str(path.relative_to(source)): path for path in sorted(source.rglob("*")) if path.is_file()}


def zipped(files: dict[str, Path]) -> bytes:
    """A Lambda package in which every file is executable; it is not compressed, because it stays local."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as package:
        for name, path in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o100755 << 16
            package.writestr(entry, path.read_bytes())
    return buffer.getvalue()


def _digest(files: dict[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:32]


def _describe(cloudformation: Any) -> dict[str, Any] | None:
    try:
        stack: dict[str, Any] = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    except ClientError as failure:
        if "does not exist" in str(failure):
            return None
        raise
    return None if stack["StackStatus"] == "DELETE_COMPLETE" else stack


def _wait(cloudformation: Any, gone: bool = False, timeout: float = 120.0) -> dict[str, Any]:
    deadline = time.monotonic() + timeout
    while True:
        stack = _describe(cloudformation)
        if stack is None:
            if gone:
                return {}
            raise SystemExit(f"the stack {STACK} was deleted during the deployment: see target/local/log/ministack.log")
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            return stack
        if time.monotonic() > deadline:
            raise SystemExit(f"the stack {STACK} is still {stack['StackStatus']} after {timeout:.0f} s")
        time.sleep(0.05)


def _why(cloudformation: Any, stack: dict[str, Any]) -> str:
    """The error of the stack with the failed resources and the reasons of CloudFormation, oldest first."""
    events = cloudformation.describe_stack_events(StackName=stack["StackId"])["StackEvents"]
    failed = [event for event in events if event["ResourceStatus"].endswith("_FAILED")]
    failed.sort(key=lambda event: event["Timestamp"])
    lines = [
        "  {LogicalResourceId} ({ResourceType}): {ResourceStatusReason}".format(
            **{"ResourceStatusReason": "no reason given", **event}
        )
        for event in failed
    ]
    reason = stack.get("StackStatusReason", "")
    return "\n".join([f"the stack {STACK} is {stack['StackStatus']}. {reason}", *lines])


def _tag(stack: dict[str, Any]) -> str | None:
    return next((tag["Value"] for tag in stack.get("Tags", []) if tag["Key"] == "shiftwork:template"), None)


def _outputs(stack: dict[str, Any]) -> dict[str, str]:
    return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
