"""Parses the SQL of the snapshots and of the example workflows with sqlfluff, in the dialect of Redshift."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from sqlfluff.core import FluffConfig, Linter

ROOT = Path(__file__).parents[2]
SNAPSHOTS = [*ROOT.glob("shared/*/tests/snapshots/statements__*.snap")]
SCRIPTS = [*ROOT.glob("workflows/**/*.sql")]

LINTER = Linter(config=FluffConfig(overrides={"dialect": "redshift"}))
MISSING = {
    re.compile(r"(?<!:):[a-z_]+\b"): "NULL",  # a named parameter of the Data API; not a cast, `::date`
    re.compile(r"(?<=FORMAT AS PARQUET) SERIALIZETOJSON\b"): "",  # COPY of nested Parquet into SUPER
    re.compile(r"\nKMS_KEY_ID '[^']*'"): "",  # options of UNLOAD come in any order; sqlfluff takes this one first only
}
"""What Redshift takes and sqlfluff's dialect does not have, and what is parsed instead."""


def sql(path: Path) -> str:
    """The statements of a file. insta writes a header between two lines of `---` in front of a snapshot."""
    text = path.read_text()
    if path.suffix == ".snap":
        text = text.split("---\n", 2)[2]
    for pattern, instead in MISSING.items():
        text = pattern.sub(instead, text)
    return text


def test_there_are_statements_to_parse() -> None:
    crates = {path.relative_to(ROOT).parts[1] for path in SNAPSHOTS}
    assert crates == {"planner", "promotion"}, "a crate that writes SQL keeps it in snapshots `statements__*.snap`"
    assert SCRIPTS


@pytest.mark.parametrize("path", [*SNAPSHOTS, *SCRIPTS], ids=lambda path: path.name)
def test_redshift_parses(path: Path) -> None:
    parsed = LINTER.parse_string(sql(path), fname=str(path.relative_to(ROOT)))
    found = [f"{path.relative_to(ROOT)}: {violation.desc()}" for violation in parsed.violations]
    assert not found, "\n".join(found)


def test_a_statement_that_is_not_sql_is_found() -> None:
    assert LINTER.parse_string("SELECT a FROM WHERE b;").violations
