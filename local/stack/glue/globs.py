"""Exclude patterns of crawlers (Glue developer guide, "Include and exclude patterns").

`*` and `?` stay within a folder, `**` does not; `[ ]` is a set of characters, `{ , }` a group of patterns that is not
nested, and a backslash makes the next character an ordinary one. These are not the rules of `fnmatch` or of shells.
"""

from __future__ import annotations

import re
from functools import cache


class InvalidPattern(ValueError):
    """A pattern with an unclosed bracket or brace, or with a nested group."""


def excluded(path: str, patterns: list[str]) -> bool:
    """True if one of `patterns` matches the whole of `path`, which is relative to the include path."""
    return any(compiled(pattern).fullmatch(path) for pattern in patterns)


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression."""
    found, index, in_group = "", 0, False
    while index < len(pattern):
        char = pattern[index]
        index += 1
        if char == "*":
            crosses = pattern[index : index + 1] == "*"
            index += crosses
            found += ".*" if crosses else "[^/]*"
        elif char == "?":
            found += "[^/]"
        elif char == "\\":
            found += re.escape(pattern[index : index + 1])
            index += 1
        elif char == "[":
            end = pattern.find("]", index + 1)
            if end < 0:
                raise InvalidPattern(f"the bracket is not closed in {pattern!r}")
            found += _characters(pattern[index:end])
            index = end + 1
        elif char == "{":
            if in_group:
                raise InvalidPattern(f"groups cannot be nested in {pattern!r}")
            found, in_group = f"{found}(?:", True
        elif char == "}" and in_group:
            found, in_group = f"{found})", False
        elif char == "," and in_group:
            found += "|"
        else:
            found += re.escape(char)
    if in_group:
        raise InvalidPattern(f"the brace is not closed in {pattern!r}")
    return re.compile(found, re.DOTALL)


def _characters(inside: str) -> str:
    negated = inside.startswith("!")
    # # A hyphen is a range unless it is the first character; all other characters stand for themselves.
    body = inside[negated:]
    escaped = "".join(
        char if char == "-" and 0 < index < len(body) - 1 else re.escape(char) for index, char in enumerate(body)
    )
    return f"(?!/)[{'^' if negated else ''}{escaped}]"
