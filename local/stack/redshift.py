"""Starts the Redshift Data API emulator (`local/redshift-data`)."""

from __future__ import annotations

import os

from . import ministack
from .processes import Process, Registry, listening, wait_until
from .settings import ACCOUNT, Settings


def ensure(settings: Settings, registry: Registry, pg_url: str, port: int, aws_port: int) -> Process | None:
    """Starts the emulator on `port`, or returns the process that runs with the same arguments and the same binary."""
    binary = settings.redshift_data
    if not binary.exists():
        return None
    stamp = str(binary.stat().st_mtime_ns)
    aws = f"http://127.0.0.1:{aws_port}"
    command = [
        str(binary),
        f"--listen=127.0.0.1:{port}",
        f"--postgres-url={pg_url}",
        f"--events-url={aws}/_shiftwork/events",
        f"--principals-url={aws}/_shiftwork/principal",
        f"--s3-endpoint={aws}",
        f"--region={settings.region}",
        f"--account={ACCOUNT}",
    ]
    running = registry.find("redshift-data")
    if running is not None and running.command == command and running.details.get("binary") == stamp:
        return running
    if running is not None:
        running.stop()
    log = settings.logs / "redshift-data.log"
    kept = {name: os.environ[name] for name in ministack.INHERITED if name in os.environ}
    env = {**kept, **ministack.client_environment(settings, aws_port), "NO_PROXY": "127.0.0.1"}
    details = {"port": str(port), "binary": stamp}
    process = registry.start("redshift-data", command, log=log, env=env, cwd=settings.root, details=details)
    wait_until(lambda: listening(port), process, "redshift-data", log)
    return process
