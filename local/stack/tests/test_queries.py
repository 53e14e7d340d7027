"""A key condition selects the same items whether or not a patch evaluates it, and is rejected for the same errors."""

from __future__ import annotations

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError

from .harness import Stack

SHARED = "toy-queries"


@pytest.fixture(scope="module")
def query(stack: Stack) -> Any:
    """Queries a table with 2,000 items in the partition `f` and one in the partition `g`."""
    dynamodb = stack.client("dynamodb")
    dynamodb.create_table(
        TableName=SHARED,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("feed", "entry")],
        KeySchema=[{"AttributeName": "feed", "KeyType": "HASH"}, {"AttributeName": "entry", "KeyType": "RANGE"}],
    )
    items = [{"feed": {"S": "f"}, "entry": {"S": f"{number:04}#a"}} for number in range(2000)]
    for begin in range(0, len(items), 25):
        requests = [{"PutRequest": {"Item": item}} for item in items[begin : begin + 25]]
        dynamodb.batch_write_item(RequestItems={SHARED: requests})
    dynamodb.put_item(TableName=SHARED, Item={"feed": {"S": "g"}, "entry": {"S": "0001#a"}})

    def entries(condition: str, **values: str) -> list[str]:
        response = dynamodb.query(
            TableName=SHARED,
            KeyConditionExpression=condition,
            ExpressionAttributeValues={f":{name}": {"S": value} for name, value in values.items()},
        )
        return [item["entry"]["S"] for item in response["Items"]]

    return entries


@pytest.mark.parametrize(
    ("condition", "values", "entries"),
    [
        ("feed = :f AND begins_with(entry, :e)", {"f": "f", "e": "0001#"}, ["0001#a"]),
        ("feed = :f AND begins_with(entry, :e)", {"f": "g", "e": "000"}, ["0001#a"]),
        ("feed = :f AND begins_with(entry, :e)", {"f": "f", "e": "9"}, []),
        ("feed = :f AND begins_with(entry, :e)", {"f": "f", "e": "199"}, [f"199{digit}#a" for digit in range(10)]),
        ("feed = :f", {"f": "g"}, ["0001#a"]),
        ("feed = :f AND entry = :e", {"f": "f", "e": "0002#a"}, ["0002#a"]),
        ("feed = :f AND entry >= :e", {"f": "f", "e": "1998#a"}, ["1998#a", "1999#a"]),
        ("feed = :f AND entry BETWEEN :a AND :b", {"f": "f", "a": "0003", "b": "0005"}, ["0003#a", "0004#a"]),
    ],
)
def test_a_condition_selects_its_items(query: Any, condition: str, values: dict[str, str], entries: list[str]) -> None:
    assert query(condition, **values) == entries


@pytest.mark.parametrize(
    ("condition", "values"),
    [
        ("feed = :f AND begins_with(entry, :missing)", {"f": "f"}),
        ("feed = :f AND begins_with(entry)", {"f": "f"}),
        ("feed = :f AND begins_with(other, :e)", {"f": "f", "e": "0"}),
        ("begins_with(entry, :e)", {"e": "0"}),
        ("size = :f", {"f": "f"}),
    ],
)
def test_a_condition_that_is_not_valid_is_rejected(query: Any, condition: str, values: dict[str, str]) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        query(condition, **values)


def test_one_key_is_found_in_a_large_partition_without_checking_the_condition_for_each_item(query: Any) -> None:
    """MiniStack alone takes 100 ms for each of these queries."""
    began = time.monotonic()
    for number in range(20):
        assert query("feed = :f AND begins_with(entry, :e)", f="f", e=f"{number:04}#") == [f"{number:04}#a"]
    assert time.monotonic() - began < 1.2
