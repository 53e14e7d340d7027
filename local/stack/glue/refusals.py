"""Refusals of requests, and the constraints of AWS's own model of the Glue API.

The model is the one of botocore: required members, types, lengths, ranges, enumerations and patterns. AWS refuses a
request that breaks one of them with a ValidationException that names the member.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

from ministack.core.responses import error_response_json, json_response

if TYPE_CHECKING:
    from botocore.model import OperationModel, ServiceModel, Shape

Response = Any
"""MiniStack's response: status, headers, body."""

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "boolean": (bool,),
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
    "timestamp": (int, float),
}


class Refused(Exception):
    """A refused request: an error code of the API, and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def invalid(message: str) -> Refused:
    return Refused("InvalidInputException", message)


def not_found(message: str) -> Refused:
    return Refused("EntityNotFoundException", message)


def not_here(what: str) -> Refused:
    """A request that AWS accepts, but the local stack cannot execute."""
    return invalid(f"not here: the local stack does not have {what} (see local/README.md)")


def operation(name: str, handle: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[dict[str, Any]], Response]:
    """The handler of MiniStack for the operation `name`: checks the request, and returns a response or a refusal."""

    def respond(data: dict[str, Any]) -> Response:
        try:
            problems = _problems(_operation(name).input_shape, data, "")
            if problems:
                count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
                raise Refused("ValidationException", count + "; ".join(problems))
            return json_response(handle(data))
        except Refused as refused:
            return error_response_json(refused.code, refused.message, 400)

    return respond


@cache
def _model() -> ServiceModel:
    import botocore.session  # takes longer than the start of the stack should

    return botocore.session.get_session().get_service_model("glue")


@cache
def _operation(name: str) -> OperationModel:
    return _model().operation_model(name)


def _problems(shape: Shape, value: Any, path: str) -> list[str]:
    """The broken constraints in the words of AWS. `path` is the name of the member in camel case."""
    expected = _TYPES.get(shape.type_name, (object,))
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        return [f"Value '{value}' at '{path}' failed to satisfy constraint: Member must be a {shape.type_name}"]
    found = [
        f"Value '{json.dumps(value) if isinstance(value, (dict, list)) else value}' at '{path}' failed to satisfy "
        f"constraint: {broken}"
        for broken in _broken(shape, value)
    ]
    if shape.type_name == "structure":
        missing = [name for name in shape.required_members if value.get(name) is None]
        found += [
            f"Value null at '{_join(path, name)}' failed to satisfy constraint: Member must not be null"
            for name in missing
        ]
        for name, member in shape.members.items():
            if value.get(name) is not None:
                found += _problems(member, value[name], _join(path, name))
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            found += _problems(shape.member, item, f"{path}.{index + 1}.member")
    elif shape.type_name == "map":
        for key, item in value.items():
            found += _problems(shape.key, key, path) + _problems(shape.value, item, f"{path}.{key}.member")
    return found


def _broken(shape: Shape, value: Any) -> list[str]:
    """The constraints of `shape` itself that `value` does not satisfy."""
    limits, sized = shape.metadata, shape.type_name in ("string", "list", "map")
    size = len(value) if sized else value
    found = []
    if "min" in limits and size < limits["min"]:
        what = "have length" if sized else "have value"
        found.append(f"Member must {what} greater than or equal to {limits['min']}")
    if "max" in limits and size > limits["max"]:
        what = "have length" if sized else "have value"
        found.append(f"Member must {what} less than or equal to {limits['max']}")
    if "enum" in limits and value not in limits["enum"]:
        found.append(f"Member must satisfy enum value set: [{', '.join(limits['enum'])}]")
    if "pattern" in limits and not _pattern(limits["pattern"]).fullmatch(value):
        found.append(f"Member must satisfy regular expression pattern: {limits['pattern']}")
    return found


@cache
def _pattern(text: str) -> re.Pattern[str]:
    """A pattern of Java, which writes characters beyond U+FFFF as surrogates."""
    return re.compile(text.replace(r"\uD800\uDC00-\uDBFF\uDFFF", r"\U00010000-\U0010FFFF"))


def _join(path: str, name: str) -> str:
    camel = name[0].lower() + name[1:]
    return f"{path}.{camel}" if path else camel
