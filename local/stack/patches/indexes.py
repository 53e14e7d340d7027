"""A query of a local index can request all attributes: DynamoDB fetches those that the index does not project."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ministack.services import dynamodb

from . import pin

_whole: ContextVar[bool] = ContextVar("shiftwork_whole_items", default=False)


def apply() -> None:
    """Returns whole items for ALL_ATTRIBUTES on a local index."""

    def query(data: dict[str, Any]) -> Any:
        token = _whole.set(data.get("Select") == "ALL_ATTRIBUTES")
        try:
            return query_table(data)
        finally:
            _whole.reset(token)

    def project(item: dict[str, Any], table: dict[str, Any], index: str | None) -> dict[str, Any]:
        is_local = any(local["IndexName"] == index for local in table.get("LocalSecondaryIndexes") or [])
        return item if _whole.get() and is_local else apply_index_projection(item, table, index)

    query_table = pin.replace(dynamodb, "_query", query)
    apply_index_projection = pin.replace(dynamodb, "_apply_index_projection", project)
