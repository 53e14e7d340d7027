"""Binds the patches to the version of MiniStack that they were written for."""

from __future__ import annotations

import hashlib
import inspect
from importlib.metadata import version
from typing import Any

PINNED = "1.5.33"


REPLACED: dict[str, str] = {}
"""The replaced functions, each with the digest of its source. A test compares them with the recorded digests, so that
an update of MiniStack shows which patches have to be reviewed."""


class UnknownMiniStack(RuntimeError):
    """MiniStack is not the version that the patches were written for."""


def check_version() -> None:
    """Rejects all versions of MiniStack except the pinned one."""
    found = version("ministack")
    if found != PINNED:
        raise UnknownMiniStack(
            f"local/stack patches MiniStack {PINNED}, but {found} is installed: "
            "run pip install -r local/requirements.txt, or review local/stack/patches and update the pin"
        )


def original(owner: Any, name: str) -> Any:
    """The attribute that a patch replaces; raises an error with its name if it does not exist."""
    try:
        return getattr(owner, name)
    except AttributeError:
        where = getattr(owner, "__name__", repr(owner))
        raise UnknownMiniStack(
            f"MiniStack {PINNED} has no {where}.{name}, which local/stack/patches replaces"
        ) from None


def replace(owner: Any, name: str, new: Any) -> Any:
    """Replaces MiniStack's `owner.name` with `new`, and returns the original."""
    old = original(owner, name)
    source = inspect.getsource(old) if inspect.isroutine(old) else repr(old)
    REPLACED.setdefault(_path(owner, name), hashlib.sha256(source.encode()).hexdigest()[:16])
    setattr(owner, name, new)
    return old


def _path(owner: Any, name: str) -> str:
    """The dotted name of an attribute of a module or a class."""
    words = [owner.__module__, owner.__qualname__] if inspect.isclass(owner) else [owner.__name__]
    return ".".join([*words, name])
