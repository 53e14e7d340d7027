"""The execution of one run of a job, from STARTING to its end."""

from __future__ import annotations

import contextvars
import logging
import os
import threading
import time
from typing import Any

from ministack.services import glue

from .. import workers
from . import notices, roles
from .jobs import PYTHON_SHELL
from .python_shell import Script
from .state import ACTIVE, LOCK

MINUTE = float(os.environ.get("SHIFTWORK_GLUE_MINUTE") or 60)
"""Seconds of a minute of `Timeout` and `NotifyDelayAfter`. Tests shorten it."""

SESSION = "GlueJobRunnerSession"

RUNNERS = {PYTHON_SHELL: Script}
"""How the script of a job is run, by the name of the job's command. Jobs with another command cannot be started."""

logger = logging.getLogger(__name__)


class Execution:
    """Executes a run once. The record of the run is changed under `LOCK` only."""

    def __init__(self, run: dict[str, Any], job: dict[str, Any]) -> None:
        self.run = run
        self.job = job
        self._stop = threading.Event()
        self._script: Script | None = None
        self._running_since: float | None = None
        self._outcome: tuple[str, str | None] = ("FAILED", "Internal service error in the local stack: see its log")
        self._abandoned = False
        self._overdue = False

    @property
    def seconds(self) -> int:
        """How long the script has run, in whole seconds."""
        return 0 if self._running_since is None else round(time.monotonic() - self._running_since)

    def execute(self) -> None:
        """Runs the script to its end; `finish` then sets the state."""
        delay = self._delay_timer()
        try:
            self._outcome = self._executed()
        except _Failed as failure:
            self._outcome = ("FAILED", str(failure))
        except Exception:  # a fault of the local stack; the run must end
            logger.exception("the run %s failed", self.run["Id"])
        finally:
            if delay is not None:
                delay.cancel()

    def finish(self) -> None:
        """Sets the final state of the run. Needs `LOCK`."""
        state, error = self._outcome
        seconds, now = self.seconds, time.time()
        self.run.update(JobRunState=state, ExecutionTime=seconds, CompletedOn=now, LastModifiedOn=now)
        if error is not None:
            self.run["ErrorMessage"] = error

    def request_stop(self) -> None:
        """STOPPING, and soon STOPPED. Needs `LOCK`."""
        if self.run["JobRunState"] != "STOPPING":
            self._enter("STOPPING")
        self._stop.set()

    def abandon(self) -> None:
        """Kills the script, because the stack ends."""
        self._abandoned = True
        if self._script is not None:
            self._script.kill()

    def _executed(self) -> tuple[str, str | None]:
        run = self.run
        session = self._assume()
        script = self._download(session)
        arguments = {
            **self.job.get("DefaultArguments", {}),
            **run.get("Arguments", {}),
            **self.job.get("NonOverridableArguments", {}),
            "--scriptLocation": self.job["Command"]["ScriptLocation"],
        }
        name = self.job["Command"]["ScriptLocation"].rpartition("/")[2]
        invocation = workers.Invocation(f"glue/{run['JobName']}", self._kill)
        workers.register(session.access_key, invocation)
        try:
            with LOCK:
                if self._stop.is_set() or self._abandoned:
                    return "STOPPED", None
                runner = RUNNERS[self.job["Command"]["Name"]]
                self._script = runner(run["Id"], name, script, arguments, session)
                self._running_since = time.monotonic()
                self._enter("RUNNING")
            invocation.begin()
            if invocation.meets("start"):
                invocation.kill()
            return self._waited(self._script)
        finally:
            workers.forget(session.access_key)
            session.end()

    def _waited(self, script: Script) -> tuple[str, str | None]:
        deadline = time.monotonic() + self.run["Timeout"] * MINUTE
        while (code := script.wait(0.05)) is None:
            if self._stop.is_set():
                script.end()
                return "STOPPED", None
            if time.monotonic() >= deadline:
                script.end()
                return "TIMEOUT", None
        if self._stop.is_set():
            return "STOPPED", None
        return ("SUCCEEDED", None) if code == 0 else ("FAILED", script.error)

    def _assume(self) -> roles.Session:
        try:
            source = glue._arn("job", self.run["JobName"])
            return roles.assume(self.job["Role"], SESSION, source, self.run["Id"])
        except roles.NotAssumable as failure:
            raise _Failed(
                f"JobName:{self.run['JobName']} and JobRunId:{self.run['Id']} failed to execute with exception "
                f"{failure}"
            ) from None

    def _download(self, session: roles.Session) -> bytes:
        """The script. AWS looks for it with HeadObject first, whose error becomes that of the run."""
        from botocore.exceptions import BotoCoreError, ClientError

        bucket, _, key = self.job["Command"]["ScriptLocation"].removeprefix("s3://").partition("/")
        s3 = session.client("s3")
        try:
            s3.head_object(Bucket=bucket, Key=key)
            body: bytes = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        except (ClientError, BotoCoreError) as failure:
            raise _Failed(str(failure)) from None
        return body

    def _kill(self) -> None:
        if self._script is not None:
            self._script.kill()

    def _enter(self, state: str) -> None:
        self.run.update(JobRunState=state, LastModifiedOn=time.time())
        if self._overdue:
            notices.job_delayed(self.run)

    def _delay_timer(self) -> threading.Timer | None:
        """Sends one event for each active state that the run has, or enters, after `NotifyDelayAfter` minutes."""
        minutes = self.run.get("NotificationProperty", {}).get("NotifyDelayAfter")
        if minutes is None:
            return None
        context = contextvars.copy_context()

        def overdue() -> None:
            with LOCK:
                self._overdue = True
                if self.run["JobRunState"] in ACTIVE:
                    context.run(notices.job_delayed, self.run)

        timer = threading.Timer(minutes * MINUTE, overdue)
        timer.daemon = True
        timer.start()
        return timer


class _Failed(Exception):
    """The run fails before its script starts."""
