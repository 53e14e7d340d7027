"""Detached processes that can be found again, and stopped without ever hitting a stranger.

A process is remembered as a JSON file: pid, start time, command. A pid alone may have been reused by the time we read
it; pid and start time together name one process for the life of the machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process that we started, leader of its own session and process group."""

    name: str
    pid: int
    started: str
    command: list[str]
    details: dict[str, str]

    @property
    def alive(self) -> bool:
        """True while the process that we started (not another with its pid) runs."""
        return _start_time(self.pid) == self.started

    def stop(self, grace: float = 8.0, first: signal.Signals = signal.SIGTERM) -> None:
        """Asks the process to end, waits, then kills what is left of its group (a Lambda's worker, a backend)."""
        now = _start_time(self.pid)
        if now is not None and now != self.started:
            return  # ours is long gone; the pid is a stranger's now
        if now is not None:
            os.kill(self.pid, first)
            deadline = time.monotonic() + grace
            while self.alive and time.monotonic() < deadline:
                _reap(self.pid)
                time.sleep(0.02)
        # The kernel gives no pid away while a session of that number lives: whoever is left is ours.
        for pid in _session_members(self.pid):
            _kill(pid)
        _reap(self.pid)


class Registry:
    """The processes of one checkout, one file each under `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def find(self, name: str) -> Process | None:
        """The process started under `name`, if it still runs. A file left by a dead one is removed."""
        path = self.directory / f"{name}.json"
        try:
            process = Process(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return process if process.alive else None

    def last(self, name: str) -> Process | None:
        """The process last started under `name`, running or not."""
        try:
            return Process(**json.loads((self.directory / f"{name}.json").read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path,
        user: int | None = None,
        group: int | None = None,
        details: Mapping[str, str] | None = None,
    ) -> Process:
        """Starts `command` detached from this terminal, its output appended to `log`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        words = [str(word) for word in command]
        with log.open("ab") as output:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
                user=user,
                group=group,
                extra_groups=[] if user is not None else None,
            )
        started = _start_time(child.pid)
        if started is None:
            raise SystemExit(f"{name} ended at once (exit {child.wait()}); its log: {log}\n{tail(log)}")
        process = Process(name, child.pid, started, words, dict(details or {}))
        self._write(process)
        return process

    def annotate(self, process: Process, **details: str) -> Process:
        """Adds what was learnt after the start (the port that a server chose)."""
        process = Process(process.name, process.pid, process.started, process.command, {**process.details, **details})
        self._write(process)
        return process

    def forget(self, name: str) -> None:
        (self.directory / f"{name}.json").unlink(missing_ok=True)

    def _write(self, process: Process) -> None:
        path = self.directory / f"{process.name}.json"
        scratch = path.with_suffix(".tmp")
        scratch.write_text(json.dumps(asdict(process)))
        scratch.replace(path)


def wait_until(
    ready: Callable[[], bool], process: Process | None, what: str, log: Path | None, timeout: float = 60.0
) -> None:
    """Polls `ready` until it holds; ends with the log's last lines when `process` dies or the time is up."""
    deadline = time.monotonic() + timeout
    while not ready():
        if process is not None:
            _reap(process.pid)
            if not process.alive:
                raise SystemExit(f"{what} ended before it was ready; its log: {log}\n{tail(log)}")
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} is not ready after {timeout:.0f} s; its log: {log}\n{tail(log)}")
        time.sleep(0.05)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tail(log: Path | None, lines: int = 20) -> str:
    """The last lines of a log, for an error message."""
    if log is None or not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _start_time(pid: int) -> str | None:
    """When the process started, as its kernel tells it; None when there is none, or only its zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return _start_time_by_ps(pid) if not Path("/proc/self/stat").exists() else None
    except ProcessLookupError:
        return None
    # The second field, the name, may hold spaces and brackets: count from its end.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _start_time_by_ps(pid: int) -> str | None:
    """The same without /proc (macOS)."""
    answer = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = answer.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def _session_members(session: int) -> list[int]:
    """Processes that still belong to the session that `session` led; children of ours, whatever became of it."""
    answer = subprocess.run(["ps", "-eo", "pid=,sess=,stat="], capture_output=True, text=True, check=False)
    rows = (line.split() for line in answer.stdout.splitlines())
    return [int(row[0]) for row in rows if len(row) == 3 and row[1] == str(session) and not row[2].startswith("Z")]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _reap(pid: int) -> None:
    """Collects the process if it happens to be our own child, so that no zombie stays."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
