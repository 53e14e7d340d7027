"""Conditions of a template can join the items of a list parameter, by which a template finds an empty list."""

from __future__ import annotations

from typing import Any

from ministack.services.cloudformation import changesets, handlers, stacks

from . import pin


def apply() -> None:
    """Evaluates `Fn::Join` over a list parameter in conditions."""
    for module in (handlers, changesets, stacks):
        _replace(module)


def _replace(module: Any) -> None:
    def evaluate(template: dict[str, Any], parameters: dict[str, Any]) -> dict[str, bool]:
        conditions = _joined(template.get("Conditions", {}), parameters)
        evaluated: dict[str, bool] = evaluate_conditions({**template, "Conditions": conditions}, parameters)
        return evaluated

    evaluate_conditions = pin.replace(module, "_evaluate_conditions", evaluate)


def _joined(value: Any, parameters: dict[str, Any]) -> Any:
    """The value with each `Fn::Join` over a parameter replaced by its text."""
    if isinstance(value, list):
        return [_joined(item, parameters) for item in value]
    if not isinstance(value, dict):
        return value
    match value.get("Fn::Join"):
        case [str(separator), {"Ref": name}] if name in parameters:
            return separator.join(item.strip() for item in str(parameters[name]["Value"]).split(","))
    return {name: _joined(item, parameters) for name, item in value.items()}
