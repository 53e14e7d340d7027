"""Holds a mend to the version of MiniStack that it was written for."""

from __future__ import annotations

import hashlib
import inspect
from importlib.metadata import version
from typing import Any

PINNED = "1.5.33"


REPLACED: dict[str, str] = {}
"""Each place that was mended, with the digest of the source that stood there. A test holds them to the recorded ones,
so that a move of the pin shows which mends to read again."""


class Unmendable(RuntimeError):
    """MiniStack is not the one that the mends know."""


def check_version() -> None:
    """Refuses any MiniStack but the pinned one: a mend of unknown code is a bug of our own."""
    found = version("ministack")
    if found != PINNED:
        raise Unmendable(
            f"local/stack mends MiniStack {PINNED}, but {found} is installed: "
            "pip install -r local/requirements.txt, or go through local/stack/patches and move the pin"
        )


def original(owner: Any, name: str) -> Any:
    """The attribute that a mend is about to replace; an error that names it when it is not there."""
    try:
        return getattr(owner, name)
    except AttributeError:
        where = getattr(owner, "__name__", repr(owner))
        raise Unmendable(f"MiniStack {PINNED} has no {where}.{name}, which local/stack/patches replaces") from None


def replace(owner: Any, name: str, new: Any) -> Any:
    """Puts `new` where MiniStack's `owner.name` was, and returns what was there."""
    old = original(owner, name)
    source = inspect.getsource(old) if inspect.isroutine(old) else repr(old)
    REPLACED.setdefault(_path(owner, name), hashlib.sha256(source.encode()).hexdigest()[:16])
    setattr(owner, name, new)
    return old


def _path(owner: Any, name: str) -> str:
    """The place's dotted name: a module's attribute, or a class's."""
    words = [owner.__module__, owner.__qualname__] if inspect.isclass(owner) else [owner.__name__]
    return ".".join([*words, name])
