"""Processes are identified by pid and start time, because a pid can be reused."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from local.stack import deploy
from local.stack.processes import Process, Registry, wait_until
from local.stack.settings import Settings


def start(registry: Registry, code: str) -> Process:
    log = registry.directory / "log"
    return registry.start("toy", [sys.executable, "-c", code], log=log, env=dict(os.environ), cwd=Path("/"))


def test_stop_ends_the_process_and_its_children(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    code = "import subprocess, time; subprocess.Popen(['sleep', '300']); print('ready', flush=True); time.sleep(300)"
    process = start(registry, code)
    wait_until(lambda: "ready" in (tmp_path / "log").read_text(), process, "toy", tmp_path / "log")
    assert registry.find("toy") == process
    process.stop()
    assert registry.find("toy") is None
    rows = subprocess.run(["ps", "-eo", "sess=,stat="], capture_output=True, text=True, check=True).stdout.splitlines()
    assert not [row for row in rows if row.split()[0] == str(process.pid) and not row.split()[1].startswith("Z")]


def test_a_reused_pid_is_not_signalled(tmp_path: Path) -> None:
    other = start(Registry(tmp_path), "import time; time.sleep(300)")
    replace(other, started="1").stop()
    assert other.alive
    other.stop()
    assert not other.alive


def test_the_error_of_an_exited_server_contains_the_end_of_its_log(tmp_path: Path) -> None:
    process = start(Registry(tmp_path), "raise SystemExit('no such port')")
    with pytest.raises(SystemExit, match="no such port"):
        wait_until(lambda: False, process, "toy", tmp_path / "log")


def test_the_local_stack_packages_the_binaries_of_cargo(tmp_path: Path) -> None:
    settings = Settings.read({"SHIFTWORK_PROFILE": "debug"}, tmp_path)
    built = tmp_path / "target" / "debug" / "trigger"
    assert deploy.code_files(tmp_path / "target" / "lambda" / "trigger", settings) == {"bootstrap": built}
    built.parent.mkdir(parents=True)
    built.write_bytes(b"\x7fELF")
    package = zipfile.ZipFile(io.BytesIO(deploy.zipped({"bootstrap": built})))
    assert package.getinfo("bootstrap").external_attr >> 16 == 0o100755
    assert package.read("bootstrap") == b"\x7fELF"


def test_an_invalid_port_is_rejected() -> None:
    with pytest.raises(SystemExit, match="SHIFTWORK_AWS_PORT"):
        Settings.read({"SHIFTWORK_AWS_PORT": "http"})


def test_a_database_in_the_environment_file_is_managed() -> None:
    url = {"SHIFTWORK_PG_URL": "postgres://a@b/c"}
    assert Settings.read(url).pg_url == url["SHIFTWORK_PG_URL"]
    assert Settings.read({**url, "SHIFTWORK_PG_MANAGED": "1"}).pg_url is None
