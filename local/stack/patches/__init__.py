"""Patches of MiniStack 1.5.33 for differences from AWS that affect shiftwork; each has a test.

A patch replaces one function of MiniStack by name. `pin` raises an error if the version or the replaced code is not
the one that the patch was written for.
"""

from __future__ import annotations

from . import (
    conditions,
    delivery,
    executions,
    indexes,
    mappings,
    maps,
    objects,
    paths,
    permissions,
    pin,
    queries,
    runtime_api,
    schedules,
    tasks,
    tokens,
)

__all__ = ["apply"]


def apply() -> None:
    """Patches the MiniStack of this process. Must be called once, before the server starts."""
    pin.check_version()
    for module in (
        runtime_api,
        executions,
        tokens,
        tasks,
        paths,
        maps,
        conditions,
        mappings,
        delivery,
        objects,
        indexes,
        queries,
        schedules,
        permissions,
    ):
        module.apply()
