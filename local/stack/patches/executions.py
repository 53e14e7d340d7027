"""Executions: idempotent start by name, immediate stop, timeout of the state machine."""

from __future__ import annotations

import contextvars
import json
import threading
from typing import Any

from ministack.core.responses import get_account_id, get_region, json_response, now_iso
from ministack.services import stepfunctions

from . import pin
from .runs import CURRENT, RUNNING, Halted, Run, current

Response = Any
"""MiniStack's response: status, headers, body."""

_history = threading.Lock()
_ending = threading.Lock()


def apply() -> None:
    """Installs the patches of this module."""
    start_is_idempotent()
    executions_can_be_halted()
    history_is_numbered_once()
    branches_are_recorded_and_halted()


def start_is_idempotent() -> None:
    """StartExecution with the name and the input of a running execution succeeds, as on AWS."""

    def start(data: dict[str, Any]) -> Response:
        running = _running_under(data.get("stateMachineArn", ""), data.get("name"))
        if running is not None and running["input"] == data.get("input", "{}"):
            return json_response({"executionArn": running["executionArn"], "startDate": running["startDate"]})
        return start_execution(data)

    start_execution = pin.replace(stepfunctions, "_start_execution", start)


def _running_under(state_machine: str, name: str | None) -> dict[str, Any] | None:
    base = stepfunctions._resolve_state_machine_arn(state_machine.partition("#")[0])
    if not name or base is None:
        return None
    machine = stepfunctions._state_machines[base]["name"]
    arn = f"arn:aws:states:{get_region()}:{get_account_id()}:execution:{machine}:{name}"
    execution = stepfunctions._executions.get(arn)
    return execution if execution and execution["status"] == "RUNNING" else None


def executions_can_be_halted() -> None:
    """StopExecution and TimeoutSeconds of the state machine end an execution in any state, also inside a Map.

    MiniStack checks them only between two top-level states, and then may overwrite ABORTED with FAILED.
    """

    def run(arn: str) -> None:
        this = RUNNING[arn] = Run(arn)
        CURRENT.set(this)
        execution = stepfunctions._executions.get(arn) or {}
        timer = _timer(execution, this)
        try:
            if execution.get("status") == "RUNNING":
                run_execution(arn)
        except Halted:
            pass
        finally:
            this.halt()  # ends the threads that a failed Map left waiting
            RUNNING.pop(arn, None)
            if timer:
                timer.cancel()

    def stop(data: dict[str, Any]) -> Response:
        with _ending:
            response = stop_execution(data)
        execution = stepfunctions._executions.get(data.get("executionArn")) or {}
        this = RUNNING.get(execution.get("executionArn", ""))
        if this and execution["status"] == "ABORTED":
            this.halt()
        return response

    def fail(execution: dict[str, Any], error: str, cause: str) -> None:
        with _ending:
            if execution["status"] == "RUNNING":
                fail_execution(execution, error, cause)

    def sleep(seconds: float) -> None:
        current().sleep(seconds * stepfunctions._SFN_WAIT_SCALE)

    run_execution = pin.replace(stepfunctions, "_run_execution", run)
    stop_execution = pin.replace(stepfunctions, "_stop_execution", stop)
    fail_execution = pin.replace(stepfunctions, "_fail_execution", fail)
    pin.replace(stepfunctions, "_scaled_sleep", sleep)


def _timer(execution: dict[str, Any], run: Run) -> threading.Timer | None:
    machine = stepfunctions._state_machines.get(execution.get("stateMachineArn")) or {}
    try:
        seconds = json.loads(machine.get("definition", "{}")).get("TimeoutSeconds")
    except ValueError:
        return None
    if not seconds:
        return None
    # # The thread of a timer does not inherit the account and the region of this thread.
    context = contextvars.copy_context()

    def expire() -> None:
        with _ending:
            if execution["status"] != "RUNNING":
                return
            execution.update(status="TIMED_OUT", stopDate=now_iso(), error="States.Timeout")
            stepfunctions._add_event(execution, "ExecutionTimedOut", {"executionTimedOutEventDetails": {}})
            run.halt()
        context.run(stepfunctions._emit_execution_status_event, execution)

    timer = threading.Timer(float(seconds), expire)
    timer.daemon = True
    timer.start()
    return timer


def history_is_numbered_once() -> None:
    """Parallel threads append to the history: without a lock, two events could have the same id."""

    def add(execution: dict[str, Any], event_type: str, details: dict[str, Any] | None = None) -> Any:
        with _history:
            return add_event(execution, event_type, details)

    add_event = pin.replace(stepfunctions, "_add_event", add)


_HANDLERS = {
    "Pass": "_execute_pass",
    "Task": "_execute_task",
    "Choice": "_execute_choice",
    "Wait": "_execute_wait",
    "Parallel": "_execute_parallel",
    "Map": "_execute_map",
}


def branches_are_recorded_and_halted() -> None:
    """The states of Map and Parallel branches stop with the execution and appear in its history.

    Each branch has separate `$$.State` and `$$.Task`: in MiniStack the branches of a Parallel overwrite each other's.
    """
    for name in _HANDLERS.values():
        pin.original(stepfunctions, name)
    pin.replace(stepfunctions, "_run_sub_machine", _run_branch)
    report_uncaught = threading.excepthook

    def report(failure: threading.ExceptHookArgs) -> None:
        if failure.exc_type is not Halted:
            report_uncaught(failure)

    threading.excepthook = report


def _run_branch(*branch: Any) -> Any:
    try:
        return _run_states(*branch)
    except Exception:
        current().branch_failed()
        raise


def _run_states(
    states: dict[str, Any], start_at: str, input_data: Any, execution: dict[str, Any], ctx: dict[str, Any]
) -> Any:
    ctx = dict(ctx)
    name: str | None = start_at
    data = input_data
    while name:
        current().check()
        state = states.get(name)
        if state is None:
            raise stepfunctions._ExecutionError("States.Runtime", f"State '{name}' not found")
        kind = state.get("Type")
        ctx["State"] = {"Name": name, "EnteredTime": now_iso(), "RetryCount": 0}
        _record(execution, f"{kind}StateEntered", "stateEnteredEventDetails", name, input=data)
        if kind == "Succeed":
            data = stepfunctions._apply_input_path(state, data, ctx)
            data, following = stepfunctions._apply_output_path(state, data, ctx), None
        elif kind == "Fail":
            raise stepfunctions._ExecutionError(*stepfunctions._fail_state_error(state, data, ctx))
        elif kind in ("Task", "Parallel", "Map"):
            data, following = getattr(stepfunctions, _HANDLERS[kind])(state, data, execution, ctx)
        elif kind in _HANDLERS:
            data, following = getattr(stepfunctions, _HANDLERS[kind])(state, data, ctx)
        else:
            raise stepfunctions._ExecutionError("States.Runtime", f"Unknown state type: {kind}")
        current().check()
        _record(execution, f"{kind}StateExited", "stateExitedEventDetails", name, output=data)
        name = following
    return data


def _record(execution: dict[str, Any], event: str, field: str, name: str, **data: Any) -> None:
    details = {"name": name, **{key: json.dumps(value) for key, value in data.items()}}
    stepfunctions._add_event(execution, event, {field: details})
