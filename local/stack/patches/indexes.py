"""A query of a local index may ask for the whole item: DynamoDB fetches what the index does not project."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from ministack.services import dynamodb

from . import pin

_whole: ContextVar[bool] = ContextVar("shiftwork_whole_items", default=False)


def apply() -> None:
    """Gives whole items where `Select` says ALL_ATTRIBUTES and the index is a local one."""

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
