"""Task tokens: they are settled once, support heartbeats, and are rejected after the task has ended, as on AWS."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import error_response_json, json_response, new_uuid
from ministack.services import stepfunctions

from . import pin
from .runs import Run

Response = Any
"""MiniStack's response: status, headers, body."""


@dataclass
class Success:
    """The decoded output of SendTaskSuccess."""

    output: Any


@dataclass
class Failure:
    """The error of SendTaskFailure, or of the call of the task."""

    error: str
    cause: str


class Waiting:
    """An attempt of a `.waitForTaskToken` task."""

    def __init__(self, run: Run) -> None:
        self.token = new_uuid()
        self._run = run
        self._outcome: Success | Failure | None = None
        self._closed = False
        self._beat = time.monotonic()
        self._settled: threading.Condition | None = None

    def settle(self, outcome: Success | Failure) -> bool:
        """Sets the outcome of the task; returns False if it already has one or has ended."""
        with self._run.lock:
            if self._closed or self._run.halted:
                return False
            self._outcome = outcome
            self._closed = True
            if self._settled is not None:
                self._settled.notify_all()
            return True

    def beat(self) -> bool:
        """Records a heartbeat; returns False if the task has ended."""
        with self._run.lock:
            if self._closed or self._run.halted:
                return False
            self._beat = time.monotonic()
            return True

    def wait(self, timeout: float | None, heartbeat: float | None) -> Any:
        """Waits for the output of the task. Raises the failure, `States.Timeout`, `States.HeartbeatTimeout` or
        `Halted`."""
        deadline = time.monotonic() + timeout if timeout else None
        with self._run.waiter() as self._settled:
            while self._outcome is None and not self._run.halted:
                now = time.monotonic()
                silence = self._beat + heartbeat if heartbeat else None
                if deadline is not None and now >= deadline:
                    self._closed = True
                    raise stepfunctions._ExecutionError("States.Timeout", "")
                if silence is not None and now >= silence:
                    self._closed = True
                    raise stepfunctions._ExecutionError("States.HeartbeatTimeout", "")
                ends = [moment for moment in (deadline, silence) if moment is not None]
                self._settled.wait(min(ends) - now if ends else None)
            self._closed = True
            outcome = self._outcome
        self._run.check()
        if isinstance(outcome, Failure):
            raise stepfunctions._ExecutionError(outcome.error, outcome.cause)
        return outcome.output if outcome else None


_waiting: dict[str, Waiting] = {}
"""All tokens that this process has issued, so that tokens of ended tasks differ from unknown ones."""
_lock = threading.Lock()


def open_token(run: Run) -> Waiting:
    """A new token for an attempt of a task of `run`."""
    waiting = Waiting(run)
    with _lock:
        _waiting[waiting.token] = waiting
    return waiting


def apply() -> None:
    """Replaces SendTaskSuccess, SendTaskFailure and SendTaskHeartbeat, except for tokens of activities."""

    def success(data: dict[str, Any]) -> Response:
        waiting = _find(data)
        if waiting is None:
            return _elsewhere(data, send_success)
        try:
            output = json.loads(data.get("output", ""))
        except (TypeError, ValueError):
            return error_response_json("InvalidOutput", "Invalid Output: 'The output is not valid JSON'", 400)
        return _answer(waiting.settle(Success(output)))

    def failure(data: dict[str, Any]) -> Response:
        waiting = _find(data)
        if waiting is None:
            return _elsewhere(data, send_failure)
        return _answer(waiting.settle(Failure(data.get("error") or "States.TaskFailed", data.get("cause") or "")))

    def heartbeat(data: dict[str, Any]) -> Response:
        waiting = _find(data)
        if waiting is None:
            return _elsewhere(data, send_heartbeat)
        return _answer(waiting.beat())

    send_success = pin.replace(stepfunctions, "_send_task_success", success)
    send_failure = pin.replace(stepfunctions, "_send_task_failure", failure)
    send_heartbeat = pin.replace(stepfunctions, "_send_task_heartbeat", heartbeat)


def _find(data: dict[str, Any]) -> Waiting | None:
    return _waiting.get(data.get("taskToken", ""))


def _elsewhere(data: dict[str, Any], activity: Any) -> Response:
    if data.get("taskToken") in stepfunctions._task_tokens:
        return activity(data)
    return error_response_json("InvalidToken", "Invalid Token: 'Invalid token'", 400)


def _answer(taken: bool) -> Response:
    if taken:
        return json_response({})
    return error_response_json("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'", 400)
