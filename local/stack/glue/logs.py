"""Writes log lines of Glue to CloudWatch Logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from ministack.services import cloudwatch_logs

_lock = threading.Lock()


def write(group: str, stream: str, lines: Sequence[str]) -> None:
    """Appends lines to a stream; group and stream are created if they do not exist."""
    with _lock:
        if group not in cloudwatch_logs._log_groups:
            cloudwatch_logs._create_log_group({"logGroupName": group})
        if stream not in cloudwatch_logs._log_groups[group]["streams"]:
            cloudwatch_logs._create_log_stream({"logGroupName": group, "logStreamName": stream})
    if lines:
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": line} for line in lines]
        cloudwatch_logs._put_log_events({"logGroupName": group, "logStreamName": stream, "logEvents": events})
