"""Glue jobs and crawlers that do their work.

MiniStack keeps the catalogue (databases, tables, partitions). Its jobs and crawlers only change their states; those
of this package run scripts and read buckets, with the states, errors, limits and events of AWS.
"""

from __future__ import annotations

from . import crawlers, jobs, runs

__all__ = ["apply", "end_all"]

end_all = runs.end_all


def apply() -> None:
    """Replaces the operations of jobs, job runs and crawlers."""
    jobs.apply()
    runs.apply()
    crawlers.apply()
