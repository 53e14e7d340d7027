"""Task states: timeouts, tokens and retries as on AWS."""

from __future__ import annotations

import contextvars
import json
import random
import threading
from typing import Any

from ministack.services import stepfunctions

from . import pin
from .runs import current
from .tokens import Failure, open_token

UNCATCHABLE = frozenset({"States.Runtime", "States.DataLimitExceeded"})
"""Errors that `States.ALL` and `States.TaskFailed` do not match."""

DEFAULT_INTERVAL = 1
DEFAULT_BACKOFF = 2.0


def apply() -> None:
    """Installs the patches of this module."""
    runtime_errors_are_not_caught_by_all()
    pin.replace(stepfunctions, "_execute_task", execute_task)
    pin.replace(stepfunctions, "_with_retry_and_catch", with_retry_and_catch)


def runtime_errors_are_not_caught_by_all() -> None:
    """`States.ALL` does not match `States.Runtime`: an invalid path fails the execution instead of being caught."""

    def matches(names: list[str], error: str) -> bool:
        return error in names if error in UNCATCHABLE else bool(error_matches(names, error))

    error_matches = pin.replace(stepfunctions, "_error_matches", matches)


def execute_task(
    state: dict[str, Any], raw: Any, execution: dict[str, Any], ctx: dict[str, Any]
) -> tuple[Any, str | None]:
    """A Task state with its Retry and Catch. Every attempt of a task that waits has a separate token."""
    return with_retry_and_catch(state, raw, ctx, lambda: _attempt(state, raw, execution, ctx))


def with_retry_and_catch(state: dict[str, Any], raw: Any, ctx: dict[str, Any], attempt: Any) -> tuple[Any, str | None]:
    """Runs `attempt` with the state's Retry (including MaxDelaySeconds and JitterStrategy) and Catch."""
    entered = ctx["State"]
    used: dict[int, int] = {}
    while True:
        current().check()
        # # Branches change the state in the context; each attempt starts with the original state and its retry count.
        ctx["State"] = {**entered, "RetryCount": sum(used.values())}
        try:
            output: tuple[Any, str | None] = attempt()
            return output
        except stepfunctions._ExecutionError as failure:
            current().check()
            retrier, index = stepfunctions._find_matching_retrier(state.get("Retry", []), failure.error, used)
            if retrier is not None:
                stepfunctions._scaled_sleep(retry_delay(retrier, used.get(index, 0)))
                used[index] = used.get(index, 0) + 1
                continue
            catcher = stepfunctions._find_matching_catcher(state.get("Catch", []), failure.error)
            if catcher is None:
                raise
            caught = {"Error": failure.error, "Cause": failure.cause}
            language = stepfunctions._state_query_language(state, ctx)
            return stepfunctions._apply_catcher(catcher, raw, ctx, language, caught), catcher["Next"]


def retry_delay(retrier: dict[str, Any], done: int) -> float:
    """Seconds before the next retry after `done` earlier ones."""
    delay = retrier.get("IntervalSeconds", DEFAULT_INTERVAL) * retrier.get("BackoffRate", DEFAULT_BACKOFF) ** done
    delay = min(delay, retrier.get("MaxDelaySeconds", delay))
    return random.uniform(0, delay) if retrier.get("JitterStrategy") == "FULL" else float(delay)


def _attempt(state: dict[str, Any], raw: Any, execution: dict[str, Any], ctx: dict[str, Any]) -> tuple[Any, str | None]:
    resource = state.get("Resource", "")
    jsonata = stepfunctions._state_query_language(state, ctx) == "JSONata"
    waits = ".waitForTaskToken" in resource
    waiting = open_token(current()) if waits else None
    if waiting is not None:
        ctx["Task"] = {"Token": waiting.token}
    effective = raw if jsonata else stepfunctions._apply_input_path(state, raw, ctx)
    timeout = _seconds(state, "TimeoutSeconds", effective, ctx)
    heartbeat = _seconds(state, "HeartbeatSeconds", effective, ctx)
    arguments = (
        stepfunctions._apply_jsonata_arguments(state, raw, ctx)
        if jsonata
        else stepfunctions._apply_parameters(state, effective, ctx)
    )
    kind = "lambda" if "lambda" in resource else "states"
    _event(execution, "TaskScheduled", "taskScheduledEventDetails", resourceType=kind, resource=resource)
    try:
        if waiting is not None:
            _submit(resource, arguments, waiting)
            result = waiting.wait(timeout, heartbeat)
        elif timeout is not None and ":activity:" not in resource:
            result = stepfunctions._invoke_resource_with_timeout(resource, arguments, timeout)
        else:
            result = stepfunctions._invoke_resource(resource, arguments)
        current().check()
    except stepfunctions._ExecutionError as failure:
        timed_out = failure.error in ("States.Timeout", "States.HeartbeatTimeout")
        event, field = ("TaskTimedOut", "taskTimedOut") if timed_out else ("TaskFailed", "taskFailed")
        details = {"error": failure.error, "cause": failure.cause, "resource": resource}
        _event(execution, event, f"{field}EventDetails", **details)
        raise
    _event(execution, "TaskSucceeded", "taskSucceededEventDetails", output=json.dumps(result), resource=resource)
    if jsonata:
        output = stepfunctions._apply_jsonata_output(state, raw, ctx, result=result, default=result)
        stepfunctions._apply_state_assign(state, raw, ctx, result=result)
    else:
        selector = state.get("ResultSelector")
        selected = stepfunctions._resolve_params_obj(selector, result, ctx) if selector else result
        merged = stepfunctions._apply_result_path(state, raw, selected)
        output = stepfunctions._apply_output_path(state, merged, ctx)
    return output, stepfunctions._next_or_end(state)


def _submit(resource: str, arguments: Any, waiting: Any) -> None:
    """Makes the call of the task without waiting for it: a failure fails the task, a success is ignored.

    MiniStack ignores the error of a Lambda function here, and the task waits forever.
    """

    def call() -> None:
        try:
            stepfunctions._invoke_resource(resource.replace(".waitForTaskToken", ""), arguments)
        except stepfunctions._ExecutionError as failure:
            waiting.settle(Failure(failure.error, failure.cause))
        except Exception as failure:  # a task must not wait after its call has failed
            waiting.settle(Failure("States.TaskFailed", repr(failure)))

    threading.Thread(target=contextvars.copy_context().run, args=(call,), daemon=True).start()


def _seconds(state: dict[str, Any], field: str, effective: Any, ctx: dict[str, Any]) -> float | None:
    """`TimeoutSeconds`, or the value of `TimeoutSecondsPath` in the effective input; None if neither is set."""
    path = state.get(f"{field}Path")
    if path is None:
        value = state.get(field)
        return None if value is None else float(value)
    value = stepfunctions._resolve_path_or_ctx(path, effective, ctx)
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        cause = f"The {field}Path parameter '{path}' must select a positive integer, but it was: {json.dumps(value)}"
        raise stepfunctions._ExecutionError("States.Runtime", cause)
    return float(value)


def _event(execution: dict[str, Any], event: str, field: str, **details: Any) -> None:
    stepfunctions._add_event(execution, event, {field: details})
