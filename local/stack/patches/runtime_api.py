"""The Lambda Runtime API: removes delays of sockets and logs from invocations."""

from __future__ import annotations

from typing import Any

from ministack.core import lambda_runtime

from . import pin

SILENCE = 0.002
"""Seconds to wait for log lines of a handler, which may write none. MiniStack waits 50 ms after every invocation."""


def apply() -> None:
    """Installs both patches of this module."""
    no_delay_on_runtime_api_sockets()
    no_wait_for_silent_handlers()


def no_delay_on_runtime_api_sockets() -> None:
    """Headers and body are sent in two writes; with Nagle's algorithm, the second waits 40 ms for a delayed ACK."""

    def build(worker: Any, *args: Any, **kwargs: Any) -> Any:
        handler = build_handler_class(worker, *args, **kwargs)
        handler.disable_nagle_algorithm = True
        return handler

    build_handler_class = pin.replace(lambda_runtime.ProvidedWorker, "_build_handler_class", build)


def no_wait_for_silent_handlers() -> None:
    """An invocation that logs nothing ends immediately."""

    def drain(worker: Any, first_line_wait: float = SILENCE, **limits: Any) -> str:
        return str(drain_bounded(worker, first_line_wait=min(first_line_wait, SILENCE), **limits))

    drain_bounded = pin.replace(lambda_runtime.Worker, "_drain_stderr_bounded", drain)
