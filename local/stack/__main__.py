"""`python -m local.stack up | down | status | env`, from the root of the checkout."""

from __future__ import annotations

import argparse
import fcntl
import shlex
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from . import ministack, postgres, redshift
from .processes import Registry
from .settings import STACK, Settings

T = TypeVar("T")

SERVERS = ("redshift-data", "ministack", "postgres")
"""The servers in the order in which they are stopped."""

# # A shell that is configured for a real AWS account must not use it after the file was sourced.
UNSET = (
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CA_BUNDLE",
)


def up(settings: Settings) -> None:
    """Starts the servers that are not running, and deploys changes."""
    from . import deploy  # imports botocore, which takes longer than `status` should

    registry = Registry(settings.pids)
    begun = time.monotonic()
    url = settings.pg_url or _step("PostgreSQL 18", lambda: postgres.ensure(settings, registry), _location)
    aws_port = ministack.choose_port(registry, "ministack", settings.aws_port)
    redshift_port = settings.redshift_port or ministack.known_redshift_port(registry)
    _step("MiniStack", lambda: ministack.ensure(settings, registry, redshift_port, aws_port), lambda _: f":{aws_port}")
    stand_in = _step(
        "Redshift Data API",
        lambda: redshift.ensure(settings, registry, url, redshift_port, aws_port),
        lambda process: f":{redshift_port}" if process else f"NOT STARTED, not built: {settings.redshift_data}",
    )
    outputs: dict[str, str] = {}
    if settings.template.exists():
        session = _session(settings, aws_port)
        deployed = _step(
            f"stack {STACK}",
            lambda: deploy.deploy(settings, session),
            lambda done: f"{done.action}, {len(done.outputs)} outputs",
        )
        outputs = deployed.outputs
    else:
        print(f"  no template at {settings.template}: nothing was deployed", flush=True)
    write_environment(settings, aws_port, redshift_port if stand_in else None, url, outputs)
    print(f"up in {time.monotonic() - begun:.1f} s; in a shell: . {settings.env_file}", flush=True)


def down(settings: Settings) -> None:
    """Stops the servers that `up` started."""
    registry = Registry(settings.pids)
    for name in SERVERS:
        process = registry.last(name)
        if process is None:
            continue
        ran = process.alive
        postgres.stop(process) if name == "postgres" else process.stop()
        print(f"  {name:<20} {'stopped' if ran else 'was not running'}", flush=True)
    settings.env_file.unlink(missing_ok=True)


def status(settings: Settings) -> None:
    """Prints the state and address of each server."""
    registry = Registry(settings.pids)
    print(f"{'':2}{'server':<20} {'state':<9} {'pid':>8}  address")
    for name in reversed(SERVERS):
        process = registry.last(name)
        if process is None or not process.alive:
            print(f"  {name:<20} {'stopped':<9} {'':>8}  log: {settings.logs / name}.log")
        else:
            print(f"  {name:<20} {'running':<9} {process.pid:>8}  127.0.0.1:{process.details['port']}")
    if settings.pg_url:
        print(f"  PostgreSQL is not managed: {settings.pg_url}")


def env(settings: Settings) -> None:
    """Prints the environment file."""
    if not settings.env_file.exists():
        raise SystemExit(f"{settings.env_file} does not exist: start the local stack with `make up`")
    print(settings.env_file.read_text(), end="")


def write_environment(
    settings: Settings, aws_port: int, redshift_port: int | None, pg_url: str, outputs: dict[str, str]
) -> None:
    """Writes the environment file, which directs AWS clients to the local stack and to nothing else."""
    values = {
        **ministack.client_environment(settings, aws_port),
        "SHIFTWORK_STACK": STACK,
        "SHIFTWORK_PG_URL": pg_url,
        "SHIFTWORK_CONTROL_URL": f"http://127.0.0.1:{aws_port}/_shiftwork",
    }
    if settings.pg_url is None:
        values["SHIFTWORK_PG_MANAGED"] = "1"
    if redshift_port is not None:
        values["SHIFTWORK_REDSHIFT_DATA_URL"] = f"http://127.0.0.1:{redshift_port}"
    lines = ["# Environment of the local stack, written by `make up`. To use it in a shell: . target/local/env"]
    lines += [f"unset {name}" for name in UNSET]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in values.items()]
    lines += ['export NO_PROXY="127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}"']
    lines += [f"# {name} = {value}" for name, value in sorted(outputs.items())]
    scratch = settings.env_file.with_suffix(".tmp")
    scratch.write_text("\n".join(lines) + "\n")
    scratch.replace(settings.env_file)


def _session(settings: Settings, port: int) -> object:
    """A boto3 session for the local stack. Its clients read the endpoint from the environment."""
    import os

    import boto3

    for name in UNSET:
        os.environ.pop(name, None)
    os.environ.update(ministack.client_environment(settings, port), NO_PROXY="127.0.0.1")
    return boto3.session.Session()


def _step(title: str, work: Callable[[], T], say: Callable[[T], str]) -> T:
    """Runs a step and prints one line with its result."""
    print(f"  {title:<20} ", end="", flush=True)
    begun = time.monotonic()
    try:
        done = work()
    except BaseException:
        print("FAILED", flush=True)
        raise
    print(f"{say(done)} ({time.monotonic() - begun:.1f} s)", flush=True)
    return done


def _location(url: str) -> str:
    return url.rpartition("@")[2]


COMMANDS = {"up": up, "down": down, "status": status, "env": env}


def main(argv: list[str] | None = None) -> int:
    """Runs one command. Concurrent `up` and `down` on the same state directory are serialized."""
    parser = argparse.ArgumentParser(prog="python -m local.stack", description="The local stack.")
    parser.add_argument("command", choices=COMMANDS)
    command = parser.parse_args(argv).command
    settings = Settings.read()
    if command not in ("up", "down"):
        COMMANDS[command](settings)
        return 0
    settings.state.mkdir(parents=True, exist_ok=True)
    with (settings.state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        COMMANDS[command](settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
