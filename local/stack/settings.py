"""The settings of the local stack, read once from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

ACCOUNT = "000000000000"
"""MiniStack's default account, which is not a real account."""

STACK = "shiftwork"


@dataclass(frozen=True)
class Settings:
    """The settings of `up`.

    | variable | meaning | default |
    | --- | --- | --- |
    | `SHIFTWORK_AWS_PORT` | port of MiniStack | a free port |
    | `SHIFTWORK_REDSHIFT_PORT` | port of the Redshift Data API emulator | a free port |
    | `SHIFTWORK_PG_PORT` | port of the managed PostgreSQL | a free port |
    | `SHIFTWORK_PG_URL` | use this PostgreSQL instead of a managed one | |
    | `SHIFTWORK_PROFILE` | cargo profile directory under `target/` | `release` |
    | `SHIFTWORK_REDSHIFT_DATA` | path of the emulator's binary | `target/<profile>/redshift-data` |
    | `SHIFTWORK_TEMPLATE` | template to deploy | `infra/template.yaml` |
    | `SHIFTWORK_LOCAL_DIR` | state directory | `target/local` |
    | `SHIFTWORK_REGION` | region | `us-east-1` |
    """

    root: Path
    state: Path
    bin_dir: Path
    redshift_data: Path
    template: Path
    region: str
    aws_port: int | None
    redshift_port: int | None
    pg_port: int | None
    pg_url: str | None

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def pids(self) -> Path:
        return self.state / "pid"

    @property
    def env_file(self) -> Path:
        return self.state / "env"

    @classmethod
    def read(cls, env: dict[str, str] | None = None, root: Path | None = None) -> Settings:
        """Reads the settings from `env` (default: the environment of this process), relative to the checkout `root`."""
        env = dict(os.environ) if env is None else env
        root = (root or Path.cwd()).resolve()
        bin_dir = root / "target" / (env.get("SHIFTWORK_PROFILE") or "release")
        return cls(
            root=root,
            state=root / (env.get("SHIFTWORK_LOCAL_DIR") or "target/local"),
            bin_dir=bin_dir,
            redshift_data=root / (env.get("SHIFTWORK_REDSHIFT_DATA") or bin_dir / "redshift-data"),
            template=root / (env.get("SHIFTWORK_TEMPLATE") or "infra/template.yaml"),
            region=env.get("SHIFTWORK_REGION") or "us-east-1",
            aws_port=_port(env, "SHIFTWORK_AWS_PORT"),
            redshift_port=_port(env, "SHIFTWORK_REDSHIFT_PORT"),
            pg_port=_port(env, "SHIFTWORK_PG_PORT"),
            pg_url=_foreign_pg_url(env),
        )


def _port(env: dict[str, str], name: str) -> int | None:
    text = env.get(name)
    if not text:
        return None
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise SystemExit(f"{name} must be a port number, not {text!r}")
    return int(text)


def _foreign_pg_url(env: dict[str, str]) -> str | None:
    """`SHIFTWORK_PG_URL`, unless it is from the environment file of the local stack, whose server `up` manages."""
    return None if env.get("SHIFTWORK_PG_MANAGED") else env.get("SHIFTWORK_PG_URL") or None
