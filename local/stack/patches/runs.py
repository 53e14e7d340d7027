"""The control block of a running execution, which MiniStack does not have: who must hear that the execution is over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Halted(BaseException):
    """Unwinds the threads of an execution that was stopped or timed out.

    Not an `Exception`, so that no Catch, no Retry and no Map of the state machine can take it for a failure.
    """


class Run:
    """One execution while it runs, or the iterations of one Map in it. Its threads share this object through
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
        """A part of this execution that can be halted by itself: it ends with the execution, not the other way."""
        return Run(self.arn, self, fails_together)

    def halt(self) -> None:
        """Wakes everything that sleeps or waits in this execution, for good."""
        with self.lock:
            self._halted = True
            for waiter in self._waiters:
                waiter.notify_all()

    def branch_failed(self) -> None:
        """One branch failed: those beside it end, as on AWS, where the whole Map or Parallel has failed."""
        if self._fails_together:
            self.halt()

    def check(self) -> None:
        """Raises `Halted` once the execution is over."""
        if self.halted:
            raise Halted

    def sleep(self, seconds: float) -> None:
        """Sleeps, unless the execution ends first."""
        with self.waiter() as over:
            over.wait_for(lambda: self.halted, timeout=seconds)
        self.check()

    @contextmanager
    def waiter(self) -> Iterator[threading.Condition]:
        """A condition under this execution's lock, held; it is also notified when the execution halts.

        One for each that waits: with a single one, each of 200 jobs that end would wake the 200 that wait.
        """
        condition = threading.Condition(self.lock)
        with condition:
            self._waiters.add(condition)
            try:
                yield condition
            finally:
                self._waiters.discard(condition)


CURRENT: ContextVar[Run | None] = ContextVar("shiftwork_run", default=None)
"""The execution that this thread works for. MiniStack copies the context into each thread that it starts."""

RUNNING: dict[str, Run] = {}
"""Executions under way, by ARN."""


def current() -> Run:
    """The execution of this thread; a stand-alone one where there is none (TestState)."""
    run = CURRENT.get()
    if run is None:
        run = Run("none")
        CURRENT.set(run)
    return run
