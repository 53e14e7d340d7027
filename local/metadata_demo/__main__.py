"""Uploads a repository of documents to the local S3, waits for metadata-fixer, and checks the results.

Run it through `make demo-metadata`, or with the environment that `make up` wrote.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
from botocore.exceptions import ClientError

from . import cases, validator

BUCKET = "shiftwork-documents"
QUARANTINE = "metadata-quarantine/"
CONFIGURATION = Path(__file__).with_name("metadata.yaml")
MAX_WAIT = 180
"""Maximum time until all metadata files are processed, in seconds."""
SEARCHED = ("notes/", "research/")
"""Repositories whose metadata files can be documents, or do not name their document completely: metadata-fixer looks
for the document, and the event of each document looks for its metadata."""
MOST_REQUESTS = {False: 4.0, True: 8.0}
"""Maximum number of S3 requests per document, without and with a search."""


def main() -> int:
    """Runs the demo; returns 0 if the metadata of every document is as expected."""
    control = os.environ.get("SHIFTWORK_CONTROL_URL")
    if not control:
        print("SHIFTWORK_CONTROL_URL is not set: run `make up`, then source target/local/env", file=sys.stderr)
        return 1
    s3 = boto3.client("s3")
    _empty_bucket(s3)
    shiftwork = os.environ.get("SHIFTWORK_CLI", "target/release/shiftwork")
    subprocess.run([shiftwork, "metadata", "push", CONFIGURATION], check=True)
    repository = cases.every()
    uploaded: list[cases.Case] = []
    requests: dict[bool, Counter[str]] = {}
    for searched in MOST_REQUESTS:
        group = [case for case in repository if case.document.startswith(SEARCHED) == searched]
        uploaded += group
        _ask(f"{control}/counts/reset", "POST")
        began = time.monotonic()
        _upload(s3, group)
        unfixable = sum(case.wanted is None for case in group)
        print(f"{len(group)} documents are in s3://{BUCKET}, the metadata of {unfixable} of them cannot be fixed")
        _wait(s3, uploaded)
        print(f"their metadata is processed after {time.monotonic() - began:.0f} s")
        # Requests that are still in progress are counted too.
        time.sleep(3)
        requests[searched] = _requests(control)
    failures = _report(s3, repository)
    for searched, counted in requests.items():
        each = counted.total() / sum(case.document.startswith(SEARCHED) == searched for case in repository)
        words = ", ".join(f"{number} {name}" for name, number in sorted(counted.items()))
        form = (
            "metadata that may be a document, or that has no full name"
            if searched
            else "metadata that names its document"
        )
        print(f"{form}: {each:.2f} S3 requests per document ({words})")
        if each > MOST_REQUESTS[searched]:
            failures.append(f"{each:.2f} requests per document exceed the limit of {MOST_REQUESTS[searched]}")
    for failure in failures:
        print(f"✘ {failure}", file=sys.stderr)
    if not failures:
        print("✔ every document has valid metadata for its index, or its metadata is in quarantine with the reason")
    return 1 if failures else 0


def _requests(control: str) -> Counter[str]:
    """The S3 requests of metadata-fixer since the last reset, by operation."""
    counts = json.loads(_ask(f"{control}/counts", "GET"))["by_function"]
    return Counter({name.split("s3:")[-1]: number for name, number in counts.items() if "metadata-fixer s3:" in name})


def _ask(url: str, method: str) -> bytes:
    with urlopen(Request(url, data=b"{}" if method == "POST" else None, method=method)) as response:
        return response.read()


def _empty_bucket(s3: Any) -> None:
    try:
        s3.create_bucket(Bucket=BUCKET)
    except ClientError as failure:
        if failure.response["Error"]["Code"] not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
            raise
    s3.put_bucket_notification_configuration(Bucket=BUCKET, NotificationConfiguration={"EventBridgeConfiguration": {}})
    for key in _keys(s3):
        s3.delete_object(Bucket=BUCKET, Key=key)


def _keys(s3: Any) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def _upload(s3: Any, repository: list[cases.Case]) -> None:
    """Uploads in random order: the metadata of a document before or after the document."""
    shuffled = random.Random(4).sample(repository, len(repository))
    for case in shuffled:
        puts = [(case.document, b"%PDF-1.7"), (case.key, case.body)]
        for key, body in puts if case.document_first else reversed(puts):
            s3.put_object(Bucket=BUCKET, Key=key, Body=body)


def _wait(s3: Any, repository: list[cases.Case]) -> None:
    """Waits until no source is left and all expected metadata files exist with the expected content."""
    documents = {case.document for case in repository}
    in_place = {case.target for case in repository if case.wanted is not None or case.stub is not None}
    until = time.monotonic() + MAX_WAIT
    while time.monotonic() < until:
        keys = set(_keys(s3))
        left = {key for key in keys - documents - in_place if not key.startswith(("metadata-",))}
        if not left and in_place <= keys and not _unfixed(s3, repository):
            return
        time.sleep(1)


def _unfixed(s3: Any, repository: list[cases.Case]) -> bool:
    """True if invalid metadata is still at its target key. It exists from the start, so its content is compared."""
    for case in repository:
        if case.key == case.target and case.wanted is not None:
            body = s3.get_object(Bucket=BUCKET, Key=case.target)["Body"].read()
            if not validator.same(json.loads(body), case.wanted):
                return True
    return False


def _report(s3: Any, repository: list[cases.Case]) -> list[str]:
    """Checks every document, prints one line per kind of error, and returns the unexpected results."""
    bodies = {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in _keys(s3)}
    failures = []
    ends: dict[str, Counter[str]] = {}
    for case in repository:
        end, wrong = _end(case, bodies)
        ends.setdefault(case.wrong, Counter())[end] += 1
        failures += [f"{case.document}: {words}" for words in wrong]
    print(f"\n{'error in the metadata':<46}{'files':>6}  result")
    for wrong, ended in ends.items():
        words = ", ".join(f"{end}" if len(ended) == 1 else f"{end} {number}" for end, number in ended.items())
        print(f"{wrong:<46}{sum(ended.values()):>6}  {words}")
    print()
    return failures


def _end(case: cases.Case, bodies: dict[str, bytes]) -> tuple[str, list[str]]:
    """The result for a document's metadata, and what is wrong with it."""
    if bodies.get(case.document) != b"%PDF-1.7":
        return "lost", ["the document was changed"]
    if case.key != case.target and case.key in bodies:
        return "not moved", [f"{case.key} still exists"]
    if case.wanted is None:
        return _quarantined(case, bodies)
    body = bodies.get(case.target)
    if body is None:
        return "lost", [f"{case.target} is missing"]
    wrong = (validator.kendra if case.target.startswith("metadata/") else validator.bedrock)(body)
    if not wrong and not validator.same(json.loads(body), case.wanted):
        wrong = [f"{body.decode()} is valid, but not as expected: {case.wanted}"]
    verb = "fixed" if body != case.body else "unchanged" if case.key == case.target else "copied"
    return verb if case.key == case.target else f"{verb} and moved", wrong


def _quarantined(case: cases.Case, bodies: dict[str, bytes]) -> tuple[str, list[str]]:
    if case.target in bodies and (case.stub is None or json.loads(bodies[case.target]) != case.stub):
        return "published", ["metadata that cannot be fixed is at the target key"]
    copies = [key for key in bodies if key.startswith(QUARANTINE + case.key) and not key.endswith(".reason.json")]
    if len(copies) != 1 or bodies[copies[0]] != case.body:
        return "lost", [f"the original is not in quarantine: {copies}"]
    reason = json.loads(bodies.get(f"{copies[0]}.reason.json", b"{}"))
    has_reason = reason.get("key") == case.key and reason.get("problems")
    problem = reason["problems"][0] if has_reason else {}
    field = f"`{problem['field']}` " if problem.get("field") else ""
    words = "in quarantine, with a stub" if case.stub else "in quarantine"
    return f"{words}: {field}{problem.get('problem', '')[:60]}", [] if has_reason else ["the reason is missing"]


if __name__ == "__main__":
    sys.exit(main())
