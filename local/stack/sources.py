"""Sources of change events for the local stack; a deployment to AWS uses existing ones."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

STREAM = "shiftwork-changes"
TABLE = "shiftwork-changes"
BUCKET = "shiftwork-change-files"
SHARDS = 4


def ensure(session: Any, wanted: set[str]) -> dict[str, str]:
    """Creates the sources for which the template has parameters, and returns the values of these parameters."""
    makers = {"ChangeStreamArn": _stream, "ChangeTableStreamArn": _table, "ChangeFileArns": _bucket}
    return {name: make(session) for name, make in makers.items() if name in wanted}


def _stream(session: Any) -> str:
    kinesis = session.client("kinesis")
    try:
        kinesis.create_stream(StreamName=STREAM, ShardCount=SHARDS)
    except ClientError as failure:
        _must_be(failure, "ResourceInUseException")
    kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1, "MaxAttempts": 30})
    arn: str = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
    return arn


def _table(session: Any) -> str:
    dynamodb = session.client("dynamodb")
    try:
        dynamodb.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
        )
    except ClientError as failure:
        _must_be(failure, "ResourceInUseException")
    arn: str = dynamodb.describe_table(TableName=TABLE)["Table"]["LatestStreamArn"]
    return arn


def _bucket(session: Any) -> str:
    s3 = session.client("s3")
    try:
        s3.head_bucket(Bucket=BUCKET)
    except ClientError:
        s3.create_bucket(Bucket=BUCKET)
        s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    return f"arn:aws:s3:::{BUCKET}/*"


def _must_be(failure: ClientError, code: str) -> None:
    if failure.response["Error"]["Code"] != code:
        raise failure
