"""Detached processes that can be found and stopped later, without affecting other processes.

A process is stored as a JSON file with pid, start time and command. A pid can be reused; pid and start time together
identify a process until the machine restarts.
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
    """A started process, which is the leader of its session and process group."""

    name: str
    pid: int
    started: str
    command: list[str]
    details: dict[str, str]

    @property
    def alive(self) -> bool:
        """True while the process runs. Another process with the same pid does not count."""
        return _start_time(self.pid) == self.started

    def stop(self, grace: float = 8.0, first: signal.Signals = signal.SIGTERM) -> None:
        """Signals the process to end, waits, then kills the rest of its session (workers, backends)."""
        now = _start_time(self.pid)
        if now is not None and now != self.started:
            return  # the process has ended, and its pid is reused by another process
        if now is not None:
            os.kill(self.pid, first)
            deadline = time.monotonic() + grace
            while self.alive and time.monotonic() < deadline:
                _reap(self.pid)
                time.sleep(0.02)
        # # The kernel does not reuse the id of a session that has members, so all members belong to this session.
        for pid in _session_members(self.pid):
            _kill(pid)
        _reap(self.pid)


class Registry:
    """The processes of one checkout, each in a file in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def find(self, name: str) -> Process | None:
        """The process that was started as `name`, if it is still running."""
        path = self.directory / f"{name}.json"
        try:
            process = Process(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return process if process.alive else None

    def last(self, name: str) -> Process | None:
        """The process that was last started as `name`, running or not."""
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
        """Starts `command` detached from the terminal, with its output appended to `log`."""
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
            raise SystemExit(f"{name} exited immediately with status {child.wait()}; see {log}\n{tail(log)}")
        process = Process(name, child.pid, started, words, dict(details or {}))
        self._write(process)
        return process

    def annotate(self, process: Process, **details: str) -> Process:
        """Adds details that are known only after the start, such as the port of a server."""
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
    """Polls `ready` until it returns true; raises `SystemExit` with the log if `process` exits or on timeout."""
    deadline = time.monotonic() + timeout
    while not ready():
        if process is not None:
            _reap(process.pid)
            if not process.alive:
                raise SystemExit(f"{what} exited before it was ready; see {log}\n{tail(log)}")
        if time.monotonic() > deadline:
            raise SystemExit(f"{what} is not ready after {timeout:.0f} s; see {log}\n{tail(log)}")
        time.sleep(0.05)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listening(port: int) -> bool:
    """True if a process accepts connections on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def tail(log: Path | None, lines: int = 20) -> str:
    """The last lines of a log, for an error message."""
    if log is None or not log.exists():
        return ""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])


def _start_time(pid: int) -> str | None:
    """The start time of a process according to the kernel; None if it does not exist or is a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return _start_time_by_ps(pid) if not Path("/proc/self/stat").exists() else None
    except ProcessLookupError:
        return None
    # # The second field, the name, can contain spaces and parentheses, so fields are counted from its end.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _start_time_by_ps(pid: int) -> str | None:
    """The start time without /proc (macOS)."""
    result = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = result.stdout.strip().partition(" ")
    return started.strip() if started and not state.startswith("Z") else None


def _session_members(session: int) -> list[int]:
    """Processes in the session `session`: the process that led it, and its remaining children."""
    result = subprocess.run(["ps", "-eo", "pid=,sess=,stat="], capture_output=True, text=True, check=False)
    rows = (line.split() for line in result.stdout.splitlines())
    return [int(row[0]) for row in rows if len(row) == 3 and row[1] == str(session) and not row[2].startswith("Z")]


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _reap(pid: int) -> None:
    """Collects the exit status if the process is a child of this one, so that no zombie is left."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
