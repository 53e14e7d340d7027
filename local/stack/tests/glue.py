"""Jobs and crawlers for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from .harness import Stack, until

GOLDEN = json.loads((Path(__file__).parent / "glue_events.json").read_text())
"""Events in the shape of the EventBridge user guide, "AWS Glue events". The values are made up."""

LAKE = "toy-lake"
ROLE = "arn:aws:iam::000000000000:role/toy-glue"
ENDED = ("SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED")


class Job:
    """A job of a test, with a script and a name of its own."""

    def __init__(self, stack: Stack, script: str | None, **definition: Any) -> None:
        self.stack, self.name = stack, f"job-{uuid4().hex[:8]}"
        self.glue = boto3.client(
            "glue", endpoint_url=f"http://127.0.0.1:{stack.port}", config=Config(retries={"total_max_attempts": 1})
        )
        s3 = stack.client("s3")
        s3.create_bucket(Bucket=LAKE)
        self.location = f"s3://{LAKE}/scripts/{self.name}.py"
        if script is not None:
            s3.put_object(Bucket=LAKE, Key=f"scripts/{self.name}.py", Body=script.encode())
        command = {"Name": "pythonshell", "PythonVersion": "3.9", "ScriptLocation": self.location}
        self.glue.create_job(Name=self.name, **{"Role": ROLE, "Command": command, **definition})

    def start(self, **request: Any) -> str:
        return str(self.glue.start_job_run(JobName=self.name, **request)["JobRunId"])

    def run(self, run_id: str) -> Any:
        return self.glue.get_job_run(JobName=self.name, RunId=run_id)["JobRun"]

    def reach(self, run_id: str, *states: str) -> Any:
        return until(lambda: (run := self.run(run_id))["JobRunState"] in states and run)

    def ended(self, **request: Any) -> Any:
        return self.reach(self.start(**request), *ENDED)

    def runs(self) -> Any:
        return self.glue.get_job_runs(JobName=self.name)["JobRuns"]

    def log(self, run_id: str, kind: str) -> list[str]:
        logs = self.stack.client("logs")
        try:
            events = logs.get_log_events(logGroupName=f"/aws-glue/python-jobs/{kind}", logStreamName=run_id)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events]

    def events(self, run_id: str) -> list[Any]:
        return [
            event
            for event in self.stack.notes("toy-sink")
            if event.get("source") == "aws.glue" and event["detail"].get("jobRunId") == run_id
        ]


def refusal(call: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call()
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


class Crawler:
    """A crawler of a test, with a folder and a database of its own."""

    def __init__(self, stack: Stack, **definition: Any) -> None:
        self.stack, self.name = stack, f"crawl-{uuid4().hex[:8]}"
        self.database = self.name.replace("-", "_")
        self.glue, self.s3 = stack.client("glue"), stack.client("s3")
        self.s3.create_bucket(Bucket=LAKE)
        self.root = f"{self.name}/data"
        targets = {"S3Targets": [{"Path": f"s3://{LAKE}/{self.root}/"}]}
        self.glue.create_crawler(
            **{"Name": self.name, "Role": ROLE, "DatabaseName": self.database, "Targets": targets, **definition}
        )

    def put(self, key: str, body: str | bytes) -> None:
        body = body.encode() if isinstance(body, str) else body
        self.s3.put_object(Bucket=LAKE, Key=f"{self.root}/{key}", Body=body)

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=LAKE, Key=f"{self.root}/{key}")

    def get(self) -> Any:
        return self.glue.get_crawler(Name=self.name)["Crawler"]

    def start(self) -> None:
        self.glue.start_crawler(Name=self.name)

    def crawl(self) -> Any:
        """Crawls, and returns the last crawl."""
        self.start()
        return until(lambda: (found := self.get())["State"] == "READY" and found["LastCrawl"])

    def tables(self) -> dict[str, Any]:
        try:
            return {t["Name"]: t for t in self.glue.get_tables(DatabaseName=self.database)["TableList"]}
        except self.glue.exceptions.EntityNotFoundException:
            return {}

    def columns(self, table: str) -> dict[str, str]:
        return types(self.tables()[table])

    def partitions(self, table: str) -> dict[tuple[str, ...], Any]:
        found = self.glue.get_partitions(DatabaseName=self.database, TableName=table)["Partitions"]
        return {tuple(partition["Values"]): partition for partition in found}

    def changes(self) -> tuple[int, int, int]:
        """Tables created, updated and deleted by the last crawl."""
        found = self.glue.get_crawler_metrics(CrawlerNameList=[self.name])["CrawlerMetricsList"][0]
        return found["TablesCreated"], found["TablesUpdated"], found["TablesDeleted"]

    def log(self) -> str:
        events = self.stack.client("logs").get_log_events(
            logGroupName="/aws-glue/crawlers", logStreamName=self.name, limit=1000
        )["events"]
        return "\n".join(event["message"] for event in events)

    def events(self) -> list[Any]:
        notes = self.stack.notes("toy-sink")
        return [event for event in notes if event.get("detail", {}).get("crawlerName") == self.name]


def types(entry: Any) -> dict[str, str]:
    return {column["Name"]: column["Type"] for column in entry["StorageDescriptor"]["Columns"]}
