"""Job definitions: CreateJob and UpdateJob with the checks and defaults of AWS.

MiniStack stores the definitions and serves the other operations.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from typing import Any

from ministack.services import glue
from ministack.services.cloudformation import provisioners

from ..patches import pin
from .refusals import Refused, invalid, not_found, not_here, operation

PYTHON_SHELL = "pythonshell"
SPARK = ("glueetl", "gluestreaming")
COMMANDS = (PYTHON_SHELL, *SPARK, "glueray")

MAX_TIMEOUT = 10080
"""Minutes (API reference, `Timeout` of a job: seven days)."""
DEFAULT_TIMEOUT = 2880
"""Minutes (API reference, `Timeout` of a job; for Glue 5.0 and later 480)."""
MAX_RETRIES = 10
"""Glue developer guide, "Defining job properties": "Number of retries", from 0 to 10."""
CAPACITIES = (0.0625, 1)
"""DPUs of a Python shell job; the first is the default (API reference, `MaxCapacity`)."""

ABSENT = ("--extra-py-files", "--extra-files", "--additional-python-modules", "--python-modules-installer-option")
"""Special parameters that the local stack cannot obey."""

NUMBERS = {"MaxRetries": int, "Timeout": int, "NumberOfWorkers": int, "MaxCapacity": float}


def apply() -> None:
    """Replaces CreateJob and UpdateJob, also for CloudFormation."""
    pin.replace(glue, "_create_job", operation("CreateJob", create))
    pin.replace(glue, "_update_job", operation("UpdateJob", update))
    pin.replace(provisioners, "_glue_job_fields", _template_fields)


def create(data: dict[str, Any]) -> dict[str, Any]:
    name = data["Name"]
    if name in glue._jobs:
        raise Refused("AlreadyExistsException", f"Job with name {name} already exists.")
    now = time.time()
    glue._jobs[name] = {"Name": name, **_checked(data), "CreatedOn": now, "LastModifiedOn": now}
    glue._job_runs[name] = []
    if data.get("Tags"):
        glue._tags[glue._arn("job", name)] = dict(data["Tags"])
    return {"Name": name}


def update(data: dict[str, Any]) -> dict[str, Any]:
    """Replaces the definition: what the update does not name is reset (API reference, UpdateJob)."""
    job = find(data["JobName"])
    changed = {"Name": job["Name"], **_checked(data["JobUpdate"])}
    glue._jobs[job["Name"]] = {**changed, "CreatedOn": job["CreatedOn"], "LastModifiedOn": time.time()}
    return {"JobName": job["Name"]}


def find(name: str, missing: str = "") -> dict[str, Any]:
    """The definition of a job; raises EntityNotFoundException if it does not exist."""
    job: dict[str, Any] | None = glue._jobs.get(name)
    if job is None:
        raise not_found(missing or f"Entity Not Found: job {name}")
    return job


def check_timeout(minutes: int | None) -> None:
    if minutes is not None and minutes > MAX_TIMEOUT:
        raise invalid(f"Timeout must be at most {MAX_TIMEOUT} minutes, not {minutes}")


def check_capacity(capacity: float | None) -> None:
    if capacity is not None and capacity not in CAPACITIES:
        raise invalid(f"MaxCapacity of a Python shell job must be 0.0625 or 1, not {capacity}")


def check_arguments(arguments: dict[str, str]) -> None:
    absent = [name for name in ABSENT if name in arguments]
    if absent:
        raise not_here(f"the job parameter {absent[0]}: a script imports the packages of the local stack's .venv")


def _checked(data: dict[str, Any]) -> dict[str, Any]:
    """The definition with its defaults."""
    if data.get("Role") is None or data.get("Command") is None:
        raise invalid("Role and Command are required")
    command = data["Command"]
    if command.get("Name") not in COMMANDS:
        raise invalid(f"The job command name must be one of {', '.join(COMMANDS)}, not {command.get('Name')}")
    if not command.get("ScriptLocation", "").startswith("s3://"):
        raise invalid(f"ScriptLocation must be an S3 path, not {command.get('ScriptLocation')}")
    for name in ("JobRunQueuingEnabled", "SecurityConfiguration"):
        if data.get(name):
            raise not_here(f"{name} of a job")
    check_timeout(data.get("Timeout"))
    if not 0 <= data.get("MaxRetries", 0) <= MAX_RETRIES:
        raise invalid(f"MaxRetries must be between 0 and {MAX_RETRIES}, not {data['MaxRetries']}")
    if data.get("ExecutionProperty", {}).get("MaxConcurrentRuns", 1) < 1:
        raise invalid("MaxConcurrentRuns must be at least 1")
    defaults: dict[str, Any] = {
        "JobMode": "SCRIPT",
        "ExecutionProperty": {"MaxConcurrentRuns": 1},
        "MaxRetries": 0,
        "Timeout": DEFAULT_TIMEOUT,
        "GlueVersion": "3.0",
    }
    if command["Name"] == PYTHON_SHELL:
        _check_python_shell(data)
        defaults["MaxCapacity"] = CAPACITIES[0]
    given = {name: copy.deepcopy(value) for name, value in data.items() if value not in (None, "", {})}
    for own in ("Name", "Tags"):
        given.pop(own, None)
    return {**defaults, **given}


def _check_python_shell(data: dict[str, Any]) -> None:
    for name in ("WorkerType", "NumberOfWorkers", "AllocatedCapacity"):
        if data.get(name) is not None:
            raise invalid(f"{name} is not supported for a Python shell job: set MaxCapacity")
    if data["Command"].get("PythonVersion") == "2":
        raise not_here("Python 2")
    check_capacity(data.get("MaxCapacity"))
    for arguments in ("DefaultArguments", "NonOverridableArguments"):
        check_arguments(data.get(arguments) or {})


def _template_fields(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties of an `AWS::Glue::Job`. MiniStack drops two of them.

    CloudFormation converts numbers that are texts, such as parameters of the template, and arguments that are not.
    """
    names = ("Role", "Command", *provisioners._GLUE_JOB_DEFAULTS, "ExecutionProperty", "NotificationProperty")
    fields = {name: copy.deepcopy(properties[name]) for name in names if name in properties}
    for name, value in list(_numbers(fields)):
        fields[name] = value
    for name in ("DefaultArguments", "NonOverridableArguments"):
        texts = {
            key: value if isinstance(value, str) else json.dumps(value) for key, value in fields.get(name, {}).items()
        }
        if texts:
            fields[name] = texts
    for name, member in (("ExecutionProperty", "MaxConcurrentRuns"), ("NotificationProperty", "NotifyDelayAfter")):
        if member in fields.get(name, {}):
            fields[name] = {member: int(fields[name][member])}
    return fields


def _numbers(fields: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, kind in NUMBERS.items():
        if isinstance(fields.get(name), str):
            yield name, kind(fields[name])
