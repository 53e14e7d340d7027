"""Types of columns, and schemas that several files have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double")
"""Each type can hold the values of those before it, as far as a crawler is concerned."""

SIMILAR = 0.7
"""The share of common columns from which two schemas are similar. AWS does not document its measure."""


@dataclass(frozen=True)
class Struct:
    """A nested type. Arrays are lists with one type, other types are texts; None is the type of nothing but nulls."""

    fields: tuple[tuple[str, Any], ...]


def of_json(value: Any) -> Any:
    """The type of a JSON value."""
    if value is None:
        return None
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "int" if -(2**31) <= value < 2**31 else "bigint"
    if isinstance(value, float):
        return "double"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return [merged_types(of_json(item) for item in value)]
    return Struct(tuple((name, of_json(item)) for name, item in value.items()))


_BIGINT = re.compile(r"[+-]?\d{1,18}")
_DOUBLE = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def of_text(text: str) -> str | None:
    """The type of a field of a CSV file. Dates and times are strings."""
    text = text.strip()
    if not text:
        return None
    if _BIGINT.fullmatch(text):
        return "bigint"
    if _DOUBLE.fullmatch(text):
        return "double"
    return "boolean" if text.lower() in ("true", "false") else "string"


def merged_types(types: Iterable[Any]) -> Any:
    """The type that holds the values of all `types`."""
    found = None
    for each in types:
        found = _merged(found, each)
    return found


def _merged(one: Any, other: Any) -> Any:
    if one is None or other is None or one == other:
        return other if one is None else one
    if one in NUMBERS and other in NUMBERS:
        return max(one, other, key=NUMBERS.index)
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(one[0], other[0])]
    if isinstance(one, Struct) and isinstance(other, Struct):
        fields = dict(one.fields)
        for name, kind in other.fields:
            fields[name] = _merged(fields.get(name), kind)
        return Struct(tuple(fields.items()))
    return "string"


def text_of(kind: Any) -> str:
    """A type in the notation of Hive."""
    if kind is None:
        return "string"
    if isinstance(kind, list):
        return f"array<{text_of(kind[0])}>"
    if isinstance(kind, Struct):
        return f"struct<{','.join(f'{name}:{text_of(field)}' for name, field in kind.fields)}>"
    return str(kind)


def named(types: Iterable[tuple[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """The columns with names in lower case, and the names that are dropped because they differ in case only."""
    found: dict[str, Any] = {}
    dropped = []
    for name, kind in types:
        if name.lower() in found:
            dropped.append(name)
        else:
            found[name.lower()] = kind
    return found, dropped


def union(schemas: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The columns of all `schemas`, each with a type that holds the values of all."""
    found: dict[str, Any] = {}
    for schema in schemas:
        for name, kind in schema.items():
            found[name] = _merged(found.get(name), kind)
    return found


def similar(schemas: Iterable[Iterable[str]]) -> bool:
    """True if each of `schemas` is similar to another one, and all are connected in this way."""
    left = {frozenset(schema) for schema in schemas}
    if not left:
        return True
    reached = [left.pop()]
    while left:
        near = {other for other in left if any(_share(known, other) >= SIMILAR for known in reached)}
        if not near:
            return False
        left -= near
        reached += near
    return True


def _share(one: frozenset[str], other: frozenset[str]) -> float:
    return 2 * len(one & other) / (len(one) + len(other) or 1)


def json_documents(text: str) -> Iterator[Any]:
    """The JSON documents of `text`: one in each line, or one after the other. Ends at a cut or invalid document."""
    decoder, index = json.JSONDecoder(), 0
    while True:
        while index < len(text) and text[index].isspace():
            index += 1
        if index == len(text):
            return
        try:
            value, index = decoder.raw_decode(text, index)
        except ValueError:
            return
        yield value
