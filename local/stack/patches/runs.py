"""The state of running executions, through which their threads learn that an execution has ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Halted(BaseException):
    """Ends the threads of an execution that was stopped or timed out.

    It is not an `Exception`, so that no Catch, Retry or Map of the state machine handles it as a failure.
    """


class Run:
    """A running execution, or the iterations of a Map in it. Its threads share this object through
    `CURRENT`."""

    def __init__(self, arn: str, parent: Run | None = None, fails_together: bool = False) -> None:
        self.arn = arn
        self.lock: threading.RLock = parent.lock if parent else threading.RLock()
        self._waiters: set[threading.Condition] = parent._waiters if parent else set()
        self._parent = parent
        self._fails_together = fails_together
        self._halted = False

    @property
    def halted(self) -> bool:
        return self._halted or (self._parent is not None and self._parent.halted)

    def scope(self, fails_together: bool) -> Run:
        """A part of this execution that can be halted separately. It also ends when the execution ends."""
        return Run(self.arn, self, fails_together)

    def halt(self) -> None:
        """Wakes all threads of this execution that sleep or wait, permanently."""
        with self.lock:
            self._halted = True
            for waiter in self._waiters:
                waiter.notify_all()

    def branch_failed(self) -> None:
        """Ends the other branches after a failure, as on AWS, where the whole Map or Parallel fails."""
        if self._fails_together:
            self.halt()

    def check(self) -> None:
        """Raises `Halted` if the execution has ended."""
        if self.halted:
            raise Halted

    def sleep(self, seconds: float) -> None:
        """Sleeps, unless the execution ends first."""
        with self.waiter() as over:
            over.wait_for(lambda: self.halted, timeout=seconds)
        self.check()

    @contextmanager
    def waiter(self) -> Iterator[threading.Condition]:
        """A held condition with this execution's lock; it is also notified when the execution halts.

        Each waiting thread has its own: with a shared one, each of 200 ending jobs would wake 200 waiting threads.
        """
        condition = threading.Condition(self.lock)
        with condition:
            self._waiters.add(condition)
            try:
                yield condition
            finally:
                self._waiters.discard(condition)


CURRENT: ContextVar[Run | None] = ContextVar("shiftwork_run", default=None)
"""The execution of this thread. MiniStack copies the context into each thread that it starts."""

RUNNING: dict[str, Run] = {}
"""Running executions by ARN."""


def current() -> Run:
    """The execution of this thread, or a new one if there is none (TestState)."""
    run = CURRENT.get()
    if run is None:
        run = Run("none")
        CURRENT.set(run)
    return run
