"""Glue jobs: scripts run, with the arguments, states, limits and events of AWS."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from local.stack import ministack
from local.stack.processes import Registry, free_port
from local.stack.settings import Settings

from .conftest import ROOT
from .glue import ENDED, GOLDEN, LAKE, ROLE, Job, refusal
from .harness import Stack, shape, until

ARGUMENTS = """
import json, os, sys
import boto3
from awsglue.utils import getResolvedOptions

options = getResolvedOptions(sys.argv, ["greeting", "name"])
print(options["greeting"], options["name"])
print("not an error", file=sys.stderr)
found = {"argv": sys.argv[1:], "arn": boto3.client("sts").get_caller_identity()["Arn"], "files": os.listdir(".")}
boto3.client("s3").put_object(Bucket="toy-lake", Key="out/" + options["name"], Body=json.dumps(found))
"""


def test_a_script_gets_its_arguments_its_role_and_its_logs(stack: Stack) -> None:
    defaults = {"--greeting": "hello", "--name": "default", "--fixed": "no"}
    job = Job(stack, ARGUMENTS, DefaultArguments=defaults, NonOverridableArguments={"--fixed": "yes"})
    run = job.ended(Arguments={"--name": job.name, "--fixed": "mine"})
    assert (run["JobRunState"], run["Attempt"], run["Timeout"], run["MaxCapacity"]) == ("SUCCEEDED", 0, 2880, 0.0625)
    assert run["Arguments"] == {"--name": job.name, "--fixed": "mine"}
    assert run["StartedOn"] <= run["CompletedOn"] == run["LastModifiedOn"]
    assert "ErrorMessage" not in run
    assert run["Id"].startswith("jr_")
    assert len(run["Id"]) == 67
    found = json.loads(stack.client("s3").get_object(Bucket=LAKE, Key=f"out/{job.name}")["Body"].read())
    pairs = dict(zip(found["argv"][::2], found["argv"][1::2], strict=True))
    # As on AWS, a Python shell script does not get the name of its job or the id of its run.
    assert pairs == {"--greeting": "hello", "--name": job.name, "--fixed": "yes", "--scriptLocation": job.location}
    assert found["arn"] == "arn:aws:sts::000000000000:assumed-role/toy-glue/GlueJobRunnerSession"
    assert found["files"] == [f"{job.name}.py"]
    assert job.log(run["Id"], "output") == [f"hello {job.name}"]
    assert job.log(run["Id"], "error") == ["not an error"]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("raise ValueError('no rows')", "ValueError: no rows"),
        ("import missing_module", "ModuleNotFoundError: No module named 'missing_module'"),
        ("try:\n  1/0\nexcept Exception as e:\n  raise KeyError('two\\nlines') from e", "KeyError: 'two\\nlines'"),
        ("raise RuntimeError('first\\nsecond')", "RuntimeError: first"),
        ("if", "SyntaxError: invalid syntax"),
        ("import sys; sys.exit('stop here')", "stop here"),
        ("import sys; sys.exit(3)", "Command failed with exit code 3"),
        (
            "import sys; from awsglue.utils import getResolvedOptions; getResolvedOptions(sys.argv, ['JOB_NAME'])",
            "awsglue.utils.GlueArgumentError: the following arguments are required: --JOB_NAME",
        ),
        (
            "import boto3; boto3.client('dynamodb').list_tables()",
            "botocore.exceptions.ClientError: An error occurred (AccessDeniedException) when calling the ListTables",
        ),
    ],
)
def test_a_failed_script_fails_its_run_with_the_last_line_of_the_traceback(
    stack: Stack, script: str, message: str
) -> None:
    run = Job(stack, script).ended()
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"].startswith(message)


def test_a_missing_or_forbidden_script_fails_the_run(stack: Stack) -> None:
    run = Job(stack, None).ended()
    missing = "An error occurred (404) when calling the HeadObject operation: Not Found"
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", missing)
    assert run["ExecutionTime"] == 0
    elsewhere = {"Name": "pythonshell", "ScriptLocation": f"s3://{stack.outputs['Scripts']}/job.py"}
    stack.client("s3").put_object(Bucket=stack.outputs["Scripts"], Key="job.py", Body=b"print(1)")
    run = Job(stack, None, Command=elsewhere).ended()
    forbidden = "An error occurred (403) when calling the HeadObject operation: Forbidden"
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", forbidden)


@pytest.mark.parametrize("role", ["toy-lender", "toy-absent"])
def test_a_role_that_glue_cannot_assume_fails_the_run(stack: Stack, role: str) -> None:
    job = Job(stack, "print(1)", Role=role)
    run = job.ended()
    assert run["JobRunState"] == "FAILED"
    assert run["ErrorMessage"] == (
        f"JobName:{job.name} and JobRunId:{run['Id']} failed to execute with exception Role "
        f"arn:aws:iam::000000000000:role/{role} should be given assume role permissions for Glue Service."
    )


@pytest.mark.parametrize(
    ("condition", "state"),
    [
        ({"StringEquals": {"aws:SourceAccount": "000000000000"}}, "SUCCEEDED"),
        ({"StringEquals": {"aws:SourceAccount": "111111111111"}}, "FAILED"),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:glue:*:*:job/job-*"}}, "SUCCEEDED"),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:glue:*:*:job/other-*"}}, "FAILED"),
    ],
)
def test_a_role_can_be_limited_to_an_account_or_a_job(stack: Stack, condition: dict[str, Any], state: str) -> None:
    iam, role = stack.client("iam"), f"toy-glue-{uuid4().hex[:8]}"
    trust = {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = {"Version": "2012-10-17", "Statement": [{**trust, "Condition": condition}]}
    iam.create_role(RoleName=role, AssumeRolePolicyDocument=json.dumps(document))
    read = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [read]})
    iam.put_role_policy(RoleName=role, PolicyName="read", PolicyDocument=policy)
    assert Job(stack, "print(1)", Role=role).ended()["JobRunState"] == state


FOREVER = "import subprocess, time\nsubprocess.Popen(['sleep', '987'])\nprint('up', flush=True)\ntime.sleep(600)"


def processes(word: str) -> list[str]:
    rows = subprocess.run(["ps", "-ww", "-eo", "args="], capture_output=True, text=True, check=True).stdout.splitlines()
    return [row for row in rows if word in row]


def test_a_timeout_is_in_minutes_and_ends_the_run_with_its_children(stack: Stack) -> None:
    job = Job(stack, FOREVER, Timeout=9, MaxRetries=1)
    run = job.ended(Timeout=1)  # a minute is a second in these tests
    assert len(job.runs()) == 1  # only failed runs are retried
    assert (run["JobRunState"], run["Timeout"]) == ("TIMEOUT", 1)
    assert run["ExecutionTime"] in (1, 2)
    until(lambda: not processes(job.name))
    until(lambda: not processes("sleep 987"))


def test_a_run_is_stopped_with_its_children(stack: Stack) -> None:
    job = Job(stack, FOREVER)
    run_id = job.start()
    job.reach(run_id, "RUNNING")
    until(lambda: processes("sleep 987") and processes(job.name))
    response = job.glue.batch_stop_job_run(JobName=job.name, JobRunIds=[run_id, "jr_unknown"])
    assert response["SuccessfulSubmissions"] == [{"JobName": job.name, "JobRunId": run_id}]
    assert [error["JobRunId"] for error in response["Errors"]] == ["jr_unknown"]
    assert response["Errors"][0]["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"
    assert job.reach(run_id, *ENDED)["JobRunState"] == "STOPPED"
    assert not processes(job.name)
    assert not processes("sleep 987")
    again = job.glue.batch_stop_job_run(JobName=job.name, JobRunIds=[run_id])
    assert again["SuccessfulSubmissions"] == []
    time.sleep(0.3)
    assert job.run(run_id)["JobRunState"] == "STOPPED"


def test_a_run_is_stopping_until_its_script_has_ended(stack: Stack) -> None:
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit(0)))\nprint('up', flush=True)\n"
        "time.sleep(600)"
    )
    job = Job(stack, script)
    run_id = job.start()
    until(lambda: job.run(run_id)["JobRunState"] == "RUNNING" and job.log(run_id, "output"))
    job.glue.batch_stop_job_run(JobName=job.name, JobRunIds=[run_id])
    assert job.run(run_id)["JobRunState"] == "STOPPING"
    repeated = job.glue.batch_stop_job_run(JobName=job.name, JobRunIds=[run_id])
    assert len(repeated["SuccessfulSubmissions"]) == 1
    assert job.reach(run_id, *ENDED)["JobRunState"] == "STOPPED"


def test_a_run_is_stopped_before_its_script_starts(stack: Stack) -> None:
    job = Job(stack, "print('never')")
    stack.control("faults", "POST", {"kind": "slow", "operation": "s3:GetObject", "seconds": 1, "count": 2})
    run_id = job.start()
    assert job.run(run_id)["JobRunState"] == "STARTING"
    job.glue.batch_stop_job_run(JobName=job.name, JobRunIds=[run_id])
    assert job.reach(run_id, *ENDED)["JobRunState"] == "STOPPED"
    assert job.run(run_id)["ExecutionTime"] == 0


def test_concurrent_runs_are_limited(stack: Stack) -> None:
    job = Job(stack, FOREVER)
    first = job.start()
    assert refusal(job.start) == ("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {job.name}")
    job.glue.batch_stop_job_run(JobName=job.name, JobRunIds=[first])
    job.reach(first, "STOPPED")
    job.glue.update_job(
        JobName=job.name,
        JobUpdate={
            "Role": ROLE,
            "Command": {"Name": "pythonshell", "ScriptLocation": job.location},
            "ExecutionProperty": {"MaxConcurrentRuns": 2},
        },
    )
    runs = [job.start(), job.start()]
    assert refusal(job.start)[0] == "ConcurrentRunsExceededException"
    job.glue.batch_stop_job_run(JobName=job.name, JobRunIds=runs)
    for run_id in runs:
        job.reach(run_id, "STOPPED")


def test_a_failed_run_is_retried_with_its_arguments(stack: Stack) -> None:
    job = Job(stack, "import sys; sys.exit('no')", MaxRetries=2)
    first = job.start(Arguments={"--day": "1"}, Timeout=3)
    until(lambda: len(job.runs()) == 3 and all(run["JobRunState"] in ENDED for run in job.runs()))
    runs = job.runs()
    assert [run["Id"] for run in runs] == [f"{first}_attempt_2", f"{first}_attempt_1", first]
    assert [run["Attempt"] for run in runs] == [2, 1, 0]
    assert [run.get("PreviousRunId") for run in runs] == [f"{first}_attempt_1", first, None]
    assert all(run["Arguments"] == {"--day": "1"} and run["Timeout"] == 3 for run in runs)
    until(lambda: all(job.events(run["Id"]) for run in runs))


def test_a_run_can_be_retried_by_its_id(stack: Stack) -> None:
    job = Job(stack, "import sys; sys.exit('no')")
    first = job.ended(Arguments={"--day": "1"})["Id"]
    second = job.ended(JobRunId=first)
    third = job.ended(JobRunId=first, Arguments={"--day": "2"})
    assert [second["Id"], third["Id"]] == [f"{first}_attempt_1", f"{first}_attempt_2"]
    assert [second["PreviousRunId"], third["PreviousRunId"]] == [first, first]
    assert [second["Arguments"], third["Arguments"]] == [{"--day": "1"}, {"--day": "2"}]


def test_a_throttled_start_starts_nothing(stack: Stack) -> None:
    job = Job(stack, "print(1)")
    stack.control("faults", "POST", {"kind": "throttle", "operation": "glue:StartJobRun"})
    assert refusal(job.start)[0] == "ThrottlingException"
    assert job.runs() == []


def test_runs_are_listed_from_the_newest_in_pages(stack: Stack) -> None:
    job = Job(stack, "print(1)", ExecutionProperty={"MaxConcurrentRuns": 5})
    ids = [job.start() for _ in range(5)]
    found, token = [], {}
    while True:
        page = job.glue.get_job_runs(JobName=job.name, MaxResults=2, **token)
        found.append([run["Id"] for run in page["JobRuns"]])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert found == [ids[:2:-1], ids[2:0:-1], ids[:1]]
    code, message = refusal(lambda: job.glue.get_job_runs(JobName=job.name, MaxResults=201))
    assert code == "ValidationException"
    assert "'maxResults' failed to satisfy constraint: Member must have value less than or equal to 200" in message
    assert refusal(lambda: job.glue.get_job_runs(JobName=job.name, NextToken="x"))[0] == "InvalidInputException"


def test_what_does_not_exist_is_not_found(stack: Stack) -> None:
    job = Job(stack, "print(1)")
    glue = job.glue
    for call in (
        lambda: glue.start_job_run(JobName="absent"),
        lambda: glue.get_job_runs(JobName="absent"),
        lambda: glue.get_job_run(JobName=job.name, RunId="jr_absent"),
        lambda: glue.start_job_run(JobName=job.name, JobRunId="jr_absent"),
        lambda: glue.update_job(JobName="absent", JobUpdate={"Role": ROLE, "Command": {"Name": "pythonshell"}}),
    ):
        assert refusal(call)[0] == "EntityNotFoundException"
    response = glue.batch_stop_job_run(JobName="absent", JobRunIds=["jr_absent"])
    assert response["Errors"][0]["ErrorDetail"]["ErrorCode"] == "EntityNotFoundException"


PYTHON_SHELL = {"Name": "pythonshell", "ScriptLocation": "s3://toy-lake/x.py"}


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({"Timeout": 10081}, "at most 10080 minutes"),
        ({"MaxRetries": 11}, "between 0 and 10"),
        ({"MaxCapacity": 2.0}, "must be 0.0625 or 1"),
        ({"WorkerType": "G.1X"}, "WorkerType is not supported"),
        ({"Command": {"Name": "python", "ScriptLocation": "s3://a/b.py"}}, "command name must be one of"),
        ({"Command": {"Name": "pythonshell"}}, "must be an S3 path"),
        ({"Command": {**PYTHON_SHELL, "PythonVersion": "2"}}, "not here: the local stack does not have Python 2"),
        ({"DefaultArguments": {"--extra-py-files": "s3://a/b.whl"}}, "not here: .* --extra-py-files"),
        ({"DefaultArguments": {"--additional-python-modules": "x"}}, "not here: .* --additional-python-modules"),
    ],
)
def test_an_invalid_definition_is_refused(stack: Stack, definition: dict[str, Any], message: str) -> None:
    request = {"Name": "invalid", "Role": ROLE, "Command": PYTHON_SHELL, **definition}
    with pytest.raises(ClientError, match=message) as refused:
        stack.client("glue").create_job(**request)
    assert refused.value.response["Error"]["Code"] == "InvalidInputException"


def test_constraints_of_the_api_are_checked(stack: Stack) -> None:
    glue = boto3.client(
        "glue", endpoint_url=f"http://127.0.0.1:{stack.port}", config=Config(parameter_validation=False)
    )
    code, message = refusal(lambda: glue.create_job(Name="x" * 256, Role=ROLE, Tags={}))
    assert code == "ValidationException"
    assert message.startswith("2 validation errors detected: ")
    assert "at 'name' failed to satisfy constraint: Member must have length less than or equal to 255" in message
    assert "Value null at 'command' failed to satisfy constraint: Member must not be null" in message
    for request in ({"JobRunIds": []}, {"JobRunIds": ["x"] * 26}, {"JobRunIds": [1]}):
        assert refusal(lambda of=request: glue.batch_stop_job_run(JobName="x", **of))[0] == "ValidationException"


@pytest.mark.parametrize("command", ["glueetl", "gluestreaming"])
def test_a_spark_job_is_refused_by_name_when_it_starts(stack: Stack, command: str) -> None:
    job = Job(stack, "print(1)", Command={"Name": command, "ScriptLocation": "s3://toy-lake/x.py"}, WorkerType="G.1X")
    code, message = refusal(job.start)
    assert code == "InvalidInputException"
    assert message.startswith(f"not here: the local stack does not have the job command {command} of job {job.name}")
    assert job.runs() == []


@pytest.mark.parametrize(
    ("script", "request_", "state", "severity", "message"),
    [
        ("print(1)", {}, "SUCCEEDED", "INFO", "Job run succeeded"),
        ("raise ValueError('bad')", {}, "FAILED", "ERROR", "ValueError: bad"),
        (FOREVER, {"Timeout": 1}, "TIMEOUT", "WARN", "Job run timed out"),
    ],
)
def test_the_end_of_a_run_is_an_event(
    stack: Stack, script: str, request_: dict[str, Any], state: str, severity: str, message: str
) -> None:
    job = Job(stack, script)
    run_id = job.start(**request_)
    event = until(lambda: job.events(run_id))[0]
    detail = {"jobName": job.name, "severity": severity, "state": state, "jobRunId": run_id, "message": message}
    assert (event["detail-type"], event["resources"], event["detail"]) == ("Glue Job State Change", [], detail)
    assert shape(event) == shape(GOLDEN[f"job-{state.lower()}"])
    assert job.run(run_id)["JobRunState"] == state


def test_the_stop_of_a_run_is_an_event(stack: Stack) -> None:
    job = Job(stack, FOREVER)
    run_id = job.start()
    job.glue.batch_stop_job_run(JobName=job.name, JobRunIds=[run_id])
    event = until(lambda: job.events(run_id))[0]
    assert shape(event) == shape(GOLDEN["job-stopped"])
    detail = event["detail"]
    assert (detail["state"], detail["severity"], detail["message"]) == ("STOPPED", "INFO", "Job run stopped")


def test_a_late_run_has_an_event_only_if_it_asks_for_it(stack: Stack) -> None:
    job = Job(stack, "import time; time.sleep(1.5)", ExecutionProperty={"MaxConcurrentRuns": 2})
    silent, watched = job.start(), job.start(NotificationProperty={"NotifyDelayAfter": 1})
    job.reach(silent, "SUCCEEDED")
    job.reach(watched, "SUCCEEDED")
    until(lambda: len(job.events(watched)) == 2)
    assert len(until(lambda: job.events(silent))) == 1
    late = next(event for event in job.events(watched) if event["detail-type"] == "Glue Job Run Status")
    assert shape(late) == shape(GOLDEN["job-delayed"])
    assert late["detail"].pop("startedOn").endswith("Z")
    assert late["detail"] == {
        "jobName": job.name,
        "severity": "INFO",
        "notificationCondition": {"NotifyDelayAfter": 1.0},
        "state": "RUNNING",
        "jobRunId": watched,
        "message": "Job is in RUNNING state",
    }


def test_the_response_of_a_start_is_lost(stack: Stack) -> None:
    job = Job(stack, "print(1)")
    stack.control("faults", "POST", {"kind": "lose", "operation": "glue:StartJobRun"})
    assert refusal(lambda: job.start(Arguments={"--intent": "a"}))[0] == "InternalFailure"
    assert stack.control("faults") == []
    runs = job.runs()
    assert [run["Arguments"] for run in runs] == [{"--intent": "a"}]
    assert job.reach(runs[0]["Id"], *ENDED)["JobRunState"] == "SUCCEEDED"


@pytest.mark.parametrize(("kind", "deliveries"), [("drop", 0), ("double", 2)])
def test_the_event_of_a_run_is_dropped_or_doubled(stack: Stack, kind: str, deliveries: int) -> None:
    job = Job(stack, "print(1)")
    stack.control("faults", "POST", {"kind": kind, "pattern": {"detail": {"jobName": [job.name]}}})
    run_id = job.start()
    job.reach(run_id, "SUCCEEDED")
    until(lambda: stack.control("faults") == [])
    until(lambda: len(job.events(run_id)) == deliveries)
    time.sleep(0.2)
    assert len(job.events(run_id)) == deliveries


@pytest.mark.parametrize(("at", "call", "written"), [("start", 1, 0), ("before-call", 2, 1), ("after-call", 2, 2)])
def test_a_job_is_killed_at_one_of_its_calls(stack: Stack, at: str, call: int, written: int) -> None:
    job = Job(stack, "")
    prefix = f"killed/{job.name}/"
    script = (
        f"import boto3\nput = boto3.client('s3').put_object\n"
        f"for i in range(3): put(Bucket='{LAKE}', Key=f'{prefix}{{i}}')"
    )
    stack.client("s3").put_object(Bucket=LAKE, Key=f"scripts/{job.name}.py", Body=script.encode())
    stack.control("faults", "POST", {"kind": "kill", "function": f"glue/{job.name}", "at": at, "call": call})
    run = job.ended()
    assert (run["JobRunState"], run["ErrorMessage"]) == ("FAILED", "Command failed with exit code 137")
    assert stack.client("s3").list_objects_v2(Bucket=LAKE, Prefix=prefix)["KeyCount"] == written


def test_a_caller_needs_the_permission_for_the_named_job(stack: Stack) -> None:
    order = {"service": "glue", "operation": "start_job_run", "parameters": {"JobName": "toy-job"}}
    assert stack.invoke({"calls": [order]})["responses"] == [{"error": "AccessDeniedException"}]
    policy = {"Effect": "Allow", "Action": "glue:StartJobRun", "Resource": "arn:aws:glue:*:*:job/toy-j*"}
    role = stack.outputs["EchoRole"].rsplit("/", 1)[-1]
    document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
    stack.client("iam").put_role_policy(RoleName=role, PolicyName="glue", PolicyDocument=document)
    assert "JobRunId" in stack.invoke({"calls": [order]})["responses"][0]


def test_a_template_makes_a_job(stack: Stack) -> None:
    job = stack.client("glue").get_job(JobName="toy-job")["Job"]
    assert (job["ExecutionProperty"], job["Timeout"], job["MaxRetries"]) == ({"MaxConcurrentRuns": 2}, 5, 3)
    assert job["DefaultArguments"] == {"--day": "1", "--full": "true", "--table": "products"}


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_end_with_the_stack(stack: Stack, tmp_path: Path, first: signal.Signals) -> None:
    settings = Settings.read({"SHIFTWORK_LOCAL_DIR": str(tmp_path)}, ROOT)
    own = Stack(settings, free_port(), free_port())
    process = ministack.ensure(settings, Registry(settings.pids), own.redshift_port, own.port)
    try:
        trust = {"Effect": "Allow", "Principal": {"Service": "glue.amazonaws.com"}, "Action": "sts:AssumeRole"}
        allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        documents = [json.dumps({"Version": "2012-10-17", "Statement": [one]}) for one in (trust, allow)]
        iam = own.client("iam")
        iam.create_role(RoleName="toy-glue", AssumeRolePolicyDocument=documents[0])
        iam.put_role_policy(RoleName="toy-glue", PolicyName="all", PolicyDocument=documents[1])
        job = Job(own, FOREVER)
        job.reach(job.start(), "RUNNING")
        until(lambda: processes(job.name) and processes("sleep 987"))
    finally:
        process.stop(first=first)
    until(lambda: not processes(job.name))
    until(lambda: not processes("sleep 987"))
