"""Map and Parallel states: at most 40 concurrent iterations of an inline Map, and a failure ends the other branches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ministack.services import stepfunctions

from . import pin
from .runs import CURRENT, current

INLINE_LIMIT = 40
"""Concurrent iterations of an inline Map (Step Functions developer guide, "Map state processing modes")."""


def apply() -> None:
    """Limits inline Maps, reads MaxConcurrencyPath, and ends the other branches of a failed iteration or branch.

    MiniStack runs all iterations concurrently, and waits for all of them before it handles a failure.
    """

    def run_map(state: dict[str, Any], raw: Any, execution: dict[str, Any], ctx: dict[str, Any]) -> Any:
        with _scope(fails_together=not _distributed(state)):
            return run_map_items(_with_limit(state, raw, ctx), raw, execution, ctx)

    def run_parallel(state: dict[str, Any], raw: Any, execution: dict[str, Any], ctx: dict[str, Any]) -> Any:
        with _scope(fails_together=True):
            return run_parallel_branches(state, raw, execution, ctx)

    run_map_items = pin.replace(stepfunctions, "_run_map_items", run_map)
    run_parallel_branches = pin.replace(stepfunctions, "_run_parallel_branches", run_parallel)


@contextmanager
def _scope(fails_together: bool) -> Iterator[None]:
    outer = current()
    token = CURRENT.set(outer.scope(fails_together))
    try:
        yield
        outer.check()
    finally:
        CURRENT.reset(token)


def _distributed(state: dict[str, Any]) -> bool:
    processor = state.get("ItemProcessor") or state.get("Iterator") or {}
    return (processor.get("ProcessorConfig") or {}).get("Mode") == "DISTRIBUTED"


def _with_limit(state: dict[str, Any], raw: Any, ctx: dict[str, Any]) -> dict[str, Any]:
    wanted = state.get("MaxConcurrency", 0)
    if "MaxConcurrencyPath" in state:
        effective = stepfunctions._apply_input_path(state, raw, ctx)
        wanted = stepfunctions._resolve_path_or_ctx(state["MaxConcurrencyPath"], effective, ctx)
        if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 0:
            cause = f"The MaxConcurrencyPath '{state['MaxConcurrencyPath']}' must select an integer, not {wanted!r}"
            raise stepfunctions._ExecutionError("States.Runtime", cause)
    if not isinstance(wanted, int):
        return state  # a JSONata expression, which MiniStack evaluates
    if not _distributed(state):
        wanted = min(wanted or INLINE_LIMIT, INLINE_LIMIT)
    return {**state, "MaxConcurrency": wanted}
