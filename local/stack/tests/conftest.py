"""A stack of the toy template for the test session, with separate ports and a separate directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from local.stack import deploy, ministack
from local.stack.processes import Registry, free_port
from local.stack.settings import Settings

from .harness import Stack

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    state = tmp_path_factory.mktemp("local")
    env = {"SHIFTWORK_LOCAL_DIR": str(state), "SHIFTWORK_TEMPLATE": str(HERE / "toy" / "template.yaml")}
    settings = Settings.read(env, ROOT)
    registry = Registry(settings.pids)
    found = Stack(settings, free_port(), free_port())
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN"):
        os.environ.pop(name, None)
    os.environ["SHIFTWORK_GLUE_MINUTE"] = "1"  # seconds
    os.environ.update(ministack.client_environment(settings, found.port))
    process = ministack.ensure(settings, registry, found.redshift_port, found.port)
    found.outputs = deploy.deploy(settings, boto3.session.Session()).outputs
    yield found
    process.stop()


@pytest.fixture(autouse=True)
def no_faults_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "stack" in request.fixturenames:
        request.getfixturevalue("stack").control("faults", "DELETE")
