"""Python shell jobs: a script runs as a process of its own, in a directory of its own, in the role of its job."""

from __future__ import annotations

import contextvars
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO

from . import logs
from .roles import Session

LOG_GROUP = "/aws-glue/python-jobs"
"""`/output` and `/error` of this group have a stream for each run."""

SITE = Path(__file__).parent / "site"
"""On the path of every script: the module `awsglue`."""

GRACE = 2.0
"""Seconds between SIGTERM and SIGKILL when a run is stopped."""

# # A process group of its own, so that the children of the script end with it. The session stays that of the launcher:
# # `down` finds the rest of a session whose leader was killed.
_LEAD = "import os, sys; os.setpgid(0, 0); os.execv(sys.argv[1], sys.argv[1:])"

_TRACEBACK = "Traceback (most recent call last):"
_KEPT_LINES = 400
"""Lines of error output in which the traceback is looked for."""


class Script:
    """A running script."""

    def __init__(self, run_id: str, name: str, body: bytes, arguments: dict[str, str], session: Session) -> None:
        self._directory = Path(os.environ.get("TMPDIR", "/tmp")) / "glue" / run_id
        self._directory.mkdir(parents=True)
        script = self._directory / name
        script.write_bytes(body)
        words = [word for pair in arguments.items() for word in pair]
        self._errors: deque[str] = deque(maxlen=_KEPT_LINES)
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LEAD, sys.executable, str(script), *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._directory,
            env=_environment(self._directory, session),
            text=True,
            errors="replace",
        )
        assert self._process.stdout
        assert self._process.stderr
        self._pumps = [
            _pump(self._process.stdout, lambda line: logs.write(f"{LOG_GROUP}/output", run_id, [line])),
            _pump(self._process.stderr, lambda line: self._error(run_id, line)),
        ]

    def wait(self, seconds: float) -> int | None:
        """The exit code, or None after `seconds`. The children that the script left are killed."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._clean()
        return code

    def end(self) -> None:
        """Ends the script and its children: SIGTERM, and after `GRACE` SIGKILL."""
        self._signal(signal.SIGTERM)
        if self.wait(GRACE) is None:
            self.kill()
            self._process.wait()
            self._clean()

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    @property
    def error(self) -> str:
        """Why the script failed: the last line of the traceback, otherwise the last line of its error output."""
        lines = [line for line in self._errors if line.strip()]
        starts = [index for index, line in enumerate(lines) if line == _TRACEBACK]
        if starts:
            after = [line for line in lines[starts[-1] + 1 :] if not line.startswith(" ")]
            lines = after[:1] or lines
        if lines:
            return lines[-1].strip()
        code = self._process.returncode
        return f"Command failed with exit code {128 - code if code < 0 else code}"

    def _error(self, run_id: str, line: str) -> None:
        self._errors.append(line)
        logs.write(f"{LOG_GROUP}/error", run_id, [line])

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            self._process.send_signal(number)  # the group does not exist yet; no effect if the process has ended

    def _clean(self) -> None:
        self._signal(signal.SIGKILL)
        for pump in self._pumps:
            pump.join(GRACE)
        shutil.rmtree(self._directory, ignore_errors=True)


def _environment(directory: Path, session: Session) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {
        **kept,
        **session.environment,
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "PYTHONPATH": str(SITE),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _pump(stream: IO[str], write: Callable[[str], None]) -> threading.Thread:
    """Writes each line of `stream` as soon as it is there."""

    def run() -> None:
        with stream:
            for line in stream:
                write(line.rstrip("\r\n"))

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), daemon=True)
    thread.start()
    return thread
