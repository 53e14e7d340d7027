"""The process that is MiniStack: mended, behind our gateway, on 127.0.0.1. Started by `up`; configured by MiniStack's
own environment variables and `SHIFTWORK_REDSHIFT_PORT`."""

from __future__ import annotations

import atexit
import os

from ministack import app
from ministack.core import lambda_runtime

from . import gateway, patches, workers
from .control import Control
from .patches import pin


def mend(redshift_data_port: int | None) -> None:
    """Everything that our MiniStack has over the one that it starts from."""
    patches.apply()
    workers.apply()
    gateway.apply(redshift_data_port)


def main() -> None:
    """Serves until SIGTERM."""
    port = os.environ.pop("SHIFTWORK_REDSHIFT_PORT", "")
    mend(int(port) if port else None)
    app.app = Control(pin.original(app, "app"), os.environ["MINISTACK_REGION"])
    atexit.register(lambda_runtime.reset)
    app.main()


if __name__ == "__main__":
    main()
