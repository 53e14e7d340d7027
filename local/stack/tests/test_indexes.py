"""A query of a local index returns whole items if requested, and the projected attributes otherwise."""

from __future__ import annotations

from typing import Any

from .harness import Stack

KEYS = [("feed", "HASH"), ("entry", "RANGE")]
INDEX = [("feed", "HASH"), ("at", "RANGE")]


def schema(keys: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for name, kind in keys]


def test_a_local_index_fetches_attributes_that_it_does_not_project(stack: Stack) -> None:
    dynamodb = stack.client("dynamodb")
    dynamodb.create_table(
        TableName="toy-local",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("feed", "entry", "at")],
        KeySchema=schema(KEYS),
        LocalSecondaryIndexes=[
            {"IndexName": "by-at", "KeySchema": schema(INDEX), "Projection": {"ProjectionType": "KEYS_ONLY"}}
        ],
    )
    for entry, more in (("a", {"at": {"S": "2"}}), ("b", {"at": {"S": "1"}}), ("not-indexed", {})):
        item = {"feed": {"S": "f"}, "entry": {"S": entry}, "size": {"N": "7"}, **more}
        dynamodb.put_item(TableName="toy-local", Item=item)

    def query(**select: Any) -> list[dict[str, Any]]:
        response = dynamodb.query(
            TableName="toy-local",
            IndexName="by-at",
            ConsistentRead=True,
            KeyConditionExpression="feed = :f",
            ExpressionAttributeValues={":f": {"S": "f"}},
            **select,
        )
        items: list[dict[str, Any]] = response["Items"]
        return items

    whole = query(Select="ALL_ATTRIBUTES")
    assert [(item["entry"]["S"], item["size"]["N"]) for item in whole] == [("b", "7"), ("a", "7")]
    assert all("size" not in item for item in query(Select="ALL_PROJECTED_ATTRIBUTES"))
