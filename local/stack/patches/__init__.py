"""What MiniStack 1.5.33 lacks of AWS and shiftwork needs, each mend where its test can point at it.

A mend replaces one function of MiniStack by name. `pin` refuses to start when the version or a name is not the one
that the mend was written for.
"""

from __future__ import annotations

from . import (
    delivery,
    executions,
    indexes,
    maps,
    objects,
    paths,
    permissions,
    pin,
    runtime_api,
    schedules,
    tasks,
    tokens,
)

__all__ = ["apply"]


def apply() -> None:
    """Mends the MiniStack of this process. Call it once, before the server starts."""
    pin.check_version()
    for module in (
        runtime_api,
        executions,
        tokens,
        tasks,
        paths,
        maps,
        delivery,
        objects,
        indexes,
        schedules,
        permissions,
    ):
        module.apply()
