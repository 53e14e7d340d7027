"""Starts MiniStack through the launcher, in an environment without the AWS settings of the user."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import urllib.request
from pathlib import Path

from .processes import Process, Registry, free_port, listening, wait_until
from .settings import ACCOUNT, Settings

ACCESS_KEY = "test"
SECRET_KEY = "test"
"""MiniStack's root key, which is valid only in MiniStack."""

INHERITED = ("PATH", "HOME", "LANG", "RUST_LOG", "RUST_BACKTRACE")
"""Environment variables of the user that the servers, and so the functions, inherit."""

NOT_IN_LAUNCHER = frozenset({"__main__.py", "deploy.py", "ministack.py", "postgres.py", "processes.py", "redshift.py"})
"""Modules that run only in `up`."""


def ensure(settings: Settings, registry: Registry, redshift_port: int, port: int) -> Process:
    """Starts MiniStack on `port`, or returns the process that already serves there."""
    details = {"port": str(port), "redshift_port": str(redshift_port), "source": _source_digest()}
    running = registry.find("ministack")
    if running is not None and running.details == details:
        return running
    if running is not None:
        running.stop()
    log = settings.logs / "ministack.log"
    scratch = settings.state / "tmp"
    shutil.rmtree(scratch, ignore_errors=True)  # code that the previous process extracted
    scratch.mkdir(parents=True)
    process = registry.start(
        "ministack",
        [sys.executable, "-m", "local.stack.launcher"],
        log=log,
        env=_environment(settings, scratch, port, redshift_port),
        cwd=settings.root,
        details=details,
    )
    wait_until(lambda: _ready(port), process, "MiniStack", log)
    return process


def choose_port(registry: Registry, name: str, wanted: int | None) -> int:
    """The configured port, otherwise the port of the running or previous process, otherwise a free port."""
    running = registry.find(name)
    if running is not None and wanted in (None, int(running.details["port"])):
        return int(running.details["port"])
    if wanted is not None:
        return wanted
    last = registry.last(name)
    port = int(last.details["port"]) if last and "port" in last.details else None
    return port if port and not listening(port) else free_port()


def known_redshift_port(registry: Registry) -> int:
    """The port to which MiniStack's gateway already forwards the Data API, otherwise a free port."""
    last = registry.last("ministack")
    port = int(last.details["redshift_port"]) if last else None
    serving = last is not None and last.alive
    return port if port and (serving or not listening(port)) else free_port()


def client_environment(settings: Settings, port: int) -> dict[str, str]:
    """The environment variables that direct an AWS client to the local stack."""
    url = f"http://127.0.0.1:{port}"
    return {
        "AWS_ENDPOINT_URL": url,
        # # The gateway forwards requests to the Data API to its emulator, so that they are counted and authorized too.
        "AWS_ENDPOINT_URL_REDSHIFT_DATA": url,
        "AWS_REGION": settings.region,
        "AWS_DEFAULT_REGION": settings.region,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
    }


def call(port: int, path: str, method: str = "GET", body: object = None) -> object:
    """Sends a request to the control endpoints of the launcher (`control.py`)."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/_shiftwork/{path}", data=data, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as response:
        return json.load(response)


def _source_digest() -> str:
    """A hash of the launcher's code: MiniStack is restarted when it changes."""
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for path in sorted([*here.glob("*.py"), *here.glob("patches/*.py"), *here.glob("glue/**/*.py")]):
        if path.name not in NOT_IN_LAUNCHER:
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _environment(settings: Settings, scratch: Path, port: int, redshift_port: int) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in INHERITED if name in os.environ},
        **client_environment(settings, port),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TMPDIR": str(scratch),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": settings.region,
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "SHIFTWORK_REDSHIFT_PORT": str(redshift_port),
        # # IAM is enforced, so that a missing permission of a function is found here and not in the first deployment.
        "AUTH": "true",
        "LAMBDA_EXECUTOR": "local",
        "DOCKER_HOST": f"unix://{scratch}/no-docker",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
        "SHIFTWORK_GLUE_MINUTE": os.environ.get("SHIFTWORK_GLUE_MINUTE", "60"),
        "LOG_LEVEL": os.environ.get("SHIFTWORK_LOG_LEVEL", "WARNING"),
        "NO_PROXY": "127.0.0.1,localhost",
    }


def _ready(port: int) -> bool:
    try:
        call(port, "health")
    except OSError:
        return False
    return True
