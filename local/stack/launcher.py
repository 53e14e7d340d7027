"""Runs the patched MiniStack behind the gateway, on 127.0.0.1. `up` starts it; it is configured by MiniStack's
environment variables and by `SHIFTWORK_REDSHIFT_PORT`."""

from __future__ import annotations

import atexit
import os

from ministack import app
from ministack.core import lambda_runtime

from . import gateway, glue, patches, workers
from .control import Control
from .patches import pin


def patch(redshift_data_port: int | None) -> None:
    """Applies all patches to MiniStack."""
    patches.apply()
    workers.apply()
    glue.apply()
    gateway.apply(redshift_data_port)


def main() -> None:
    """Serves requests until SIGTERM."""
    port = os.environ.pop("SHIFTWORK_REDSHIFT_PORT", "")
    patch(int(port) if port else None)
    app.app = Control(pin.original(app, "app"), os.environ["MINISTACK_REGION"])
    atexit.register(lambda_runtime.reset)
    atexit.register(glue.end_all)
    app.main()


if __name__ == "__main__":
    main()
