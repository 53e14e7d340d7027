"""Identifies processes: each has a separate access key, so that its requests can be counted and interrupted."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc, sts

from .counts import COUNTS
from .faults import FAULTS, Fault
from .patches import pin


class Invocation:
    """The current invocation of a Lambda process, or the run of a Glue job. `kill` sends SIGKILL to its process."""

    def __init__(self, function: str, kill: Callable[[], None]) -> None:
        self.function = function
        self.fault: Fault | None = None
        self.calls = 0
        self.kill = kill

    def begin(self) -> None:
        self.calls = 0
        self.fault = FAULTS.kill_for(self.function)

    def meets(self, point: str) -> bool:
        """True if the process has to be killed now, at `point` (one of `faults.KILL_POINTS`)."""
        fault = self.fault
        if fault is None or fault.at != point or (point.endswith("-call") and fault.call != self.calls):
            return False
        self.fault = None
        return True


_by_access_key: dict[str, Invocation] = {}


def register(access_key: str, invocation: Invocation) -> None:
    """Makes `invocation` the one whose process signs with `access_key`."""
    _by_access_key[access_key] = invocation


def forget(access_key: str) -> None:
    """The process that signs with `access_key` has ended."""
    _by_access_key.pop(access_key, None)


def invocation_of(access_key: str | None) -> Invocation | None:
    """The invocation whose process signs with `access_key`, if there is one."""
    return _by_access_key.get(access_key or "")


def apply() -> None:
    """Gives each `provided.*` process its own session of the execution role, and applies faults to its calls."""

    def environment(config: dict[str, Any], code_dir: str, port: int) -> dict[str, str]:
        env: dict[str, str] = worker_env(config, code_dir, port)
        session = sts._sessions.get(env["AWS_ACCESS_KEY_ID"])
        if session is not None:
            digest = hashlib.sha256(f"{env['AWS_ACCESS_KEY_ID']}:{port}".encode()).hexdigest()
            env["AWS_ACCESS_KEY_ID"] = f"ASIA{digest[:16].upper()}"
            sts.register_session(env["AWS_ACCESS_KEY_ID"], dict(session))
        # # The port of the Runtime API identifies the process: the worker that serves it is being started.
        _ports[port] = env["AWS_ACCESS_KEY_ID"]
        return env

    def spawn(worker: Any, init_timeout: float | None = None) -> None:
        spawn_process(worker, init_timeout)
        key = _ports.pop(worker._server.server_address[1], None)
        if key is not None:
            register(key, _invocation(worker))

    def invoke(worker: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        invocation = _invocation(worker)
        COUNTS.add("invocations", invocation.function)
        invocation.begin()
        if invocation.meets("start"):
            invocation.kill()
            died = "Runtime exited before returning a response"
            payload = {"errorMessage": died, "errorType": "Runtime.ExitError"}
            return {"status": "error", "error": died, "error_payload": payload, "cold_start": False, "log": ""}
        response: dict[str, Any] = invoke_process(worker, *args, **kwargs)
        return response

    def record(worker: Any, *args: Any) -> bool:
        invocation = _invocation(worker)
        if invocation.meets("end"):
            invocation.kill()
            return False
        return bool(record_result(worker, *args))

    worker_env = pin.replace(lambda_svc, "_provided_worker_env", environment)
    spawn_process = pin.replace(lambda_runtime.ProvidedWorker, "_spawn", spawn)
    invoke_process = pin.replace(lambda_runtime.ProvidedWorker, "invoke", invoke)
    record_result = pin.replace(lambda_runtime.ProvidedWorker, "_record_result", record)


_ports: dict[int, str] = {}


def _invocation(worker: Any) -> Invocation:
    found: Invocation | None = getattr(worker, "_shiftwork", None)
    if found is None:
        found = worker._shiftwork = Invocation(worker.func_name, lambda: _kill(worker))
    return found


def _kill(worker: Any) -> None:
    process = worker._proc
    if process is not None:
        os.kill(process.pid, signal.SIGKILL)
