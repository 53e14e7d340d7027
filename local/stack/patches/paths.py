"""JSONPaths that select nothing fail the execution, as on AWS; MiniStack uses null instead."""

from __future__ import annotations

import json
from typing import Any

from ministack.services import stepfunctions

from . import pin


class Nothing(Exception):
    """The path selects nothing."""


def apply() -> None:
    """Makes the paths of Parameters, ItemSelector, ResultSelector, InputPath, OutputPath and Choice strict."""

    def rule(rule: dict[str, Any], data: Any, ctx: Any = None) -> bool:
        if "IsPresent" not in rule or "Variable" not in rule:
            return bool(evaluate_rule(rule, data, ctx))
        try:
            _select(rule["Variable"], data, ctx)
        except Nothing:
            return rule["IsPresent"] is False
        return rule["IsPresent"] is True

    def path(path: str, data: Any, ctx: Any) -> Any:
        try:
            return _select(path, data, ctx)
        except Nothing:
            raise _runtime(f"Invalid path '{path}': it selects nothing in {_short(data)}") from None

    pin.original(stepfunctions, "_parse_jsonpath_tokens")
    evaluate_rule = pin.replace(stepfunctions, "_evaluate_rule", rule)
    pin.replace(stepfunctions, "_resolve_path_or_ctx", path)
    pin.replace(stepfunctions, "_resolve_params_obj", fill)


def fill(template: Any, data: Any, ctx: Any = None) -> Any:
    """A payload template in which every `.$` field is replaced by the value of its path or intrinsic function."""
    if isinstance(template, list):
        return [fill(item, data, ctx) for item in template]
    if not isinstance(template, dict):
        return template
    filled = {}
    for key, value in template.items():
        if not key.endswith(".$") or not isinstance(value, str):
            filled[key] = fill(value, data, ctx)
        elif value.startswith("States."):
            filled[key[:-2]] = stepfunctions._evaluate_intrinsic(value, data, ctx)
        else:
            try:
                filled[key[:-2]] = _select(value, data, ctx)
            except Nothing:
                raise _runtime(
                    f"The JSONPath '{value}' specified for the field '{key}' could not be found in the input "
                    f"'{_short(data)}'"
                ) from None
    return filled


def _select(path: str, data: Any, ctx: Any) -> Any:
    """The value that the path selects. A definite path, which has no wildcards, must select a value."""
    if path.startswith("$$"):
        path, data = path[1:], ctx or {}
    tokens = stepfunctions._parse_jsonpath_tokens(path) if path.startswith("$") else None
    if tokens is None or any(kind == "wildcard" for kind, _ in tokens):
        return stepfunctions._resolve_path(path, data)
    for kind, step in tokens:
        if kind == "field" and not (isinstance(data, dict) and step in data):
            raise Nothing
        if kind == "index" and not (isinstance(data, list) and step < len(data)):
            raise Nothing
        data = data[step]
    return data


def _runtime(cause: str) -> Exception:
    error: Exception = stepfunctions._ExecutionError("States.Runtime", cause)
    return error


def _short(data: Any) -> str:
    text = json.dumps(data, default=str)
    return text if len(text) <= 300 else text[:300] + "…"
