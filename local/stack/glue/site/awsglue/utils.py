"""Arguments of a job.

The parser is argparse, as in AWS's package: a value that starts with `-` is not a value, and a unique prefix of an
option is accepted.
"""

from __future__ import annotations

import argparse
from typing import NoReturn

RESERVED = (
    "JOB_ID",
    "JOB_RUN_ID",
    "SECURITY_CONFIGURATION",
    "job_bookmark_option",
    "job_bookmark_from",
    "job_bookmark_to",
    "encryption_type",
    "enable_data_lineage",
)
"""Options that a script must not name. It gets them if the job has them."""

UNNAMED = ("TempDir", "RedshiftTempDir")
"""Options that a script may name, and gets in any case if the job has them."""


class GlueArgumentError(Exception):
    """A named option that the job does not have, or an option without a value."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise GlueArgumentError(message)


def getResolvedOptions(args: list[str], options: list[str]) -> dict[str, str]:  # noqa: N802
    """The values of `options` in `args` (`sys.argv`) by name. Raises `GlueArgumentError` if one is missing."""
    parser = _Parser(add_help=False)
    for name in options:
        if name in RESERVED:
            raise RuntimeError(f"Using reserved arguments {name}")
        parser.add_argument(f"--{name}", required=True)
    for name in (*RESERVED, *(name for name in UNNAMED if name not in options)):
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", dest=name)
    found, _ = parser.parse_known_args(args[1:])
    return {name: value for name, value in vars(found).items() if value is not None}
