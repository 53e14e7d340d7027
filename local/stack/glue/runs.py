"""Job runs: StartJobRun, GetJobRun, GetJobRuns and BatchStopJobRun."""

from __future__ import annotations

import contextvars
import copy
import threading
from typing import Any

from ministack.services import glue

from ..patches import pin
from . import jobs, notices
from .execution import RUNNERS, Execution
from .refusals import Refused, invalid, not_found, not_here, operation
from .state import ACTIVE, ENDED, LOCK, new_run

PAGE = 200
"""The maximum of `MaxResults`. AWS does not document its default; here it is the maximum."""

EXECUTIONS: dict[str, Execution] = {}
"""The active runs by id."""


def apply() -> None:
    """Replaces the operations of job runs."""
    pin.replace(glue, "_start_job_run", operation("StartJobRun", start))
    pin.replace(glue, "_get_job_run", operation("GetJobRun", get))
    pin.replace(glue, "_get_job_runs", operation("GetJobRuns", list_runs))
    pin.replace(glue, "_batch_stop_job_run", operation("BatchStopJobRun", stop))


def end_all() -> None:
    """Kills the processes of all runs, without events. The stack ends."""
    for execution in list(EXECUTIONS.values()):
        execution.abandon()


def start(data: dict[str, Any]) -> dict[str, Any]:
    job = jobs.find(data["JobName"], missing="Failed to start job run due to missing metadata.")
    command = job["Command"]["Name"]
    if command not in RUNNERS:
        raise not_here(f"the job command {command} of job {job['Name']}: only {', '.join(RUNNERS)} jobs run")
    for name in ("SecurityConfiguration", "ExecutionRoleSessionPolicy", "JobRunQueuingEnabled"):
        if data.get(name):
            raise not_here(f"{name} of a job run")
    for name in ("WorkerType", "NumberOfWorkers", "AllocatedCapacity", "ExecutionClass"):
        if data.get(name) is not None:
            raise invalid(f"{name} is not supported for a Python shell job")
    jobs.check_timeout(data.get("Timeout"))
    jobs.check_capacity(data.get("MaxCapacity"))
    jobs.check_arguments(data.get("Arguments") or {})
    with LOCK:
        runs = glue._job_runs.setdefault(job["Name"], [])
        previous = _previous(runs, data["JobRunId"]) if data.get("JobRunId") else None
        limit = job["ExecutionProperty"].get("MaxConcurrentRuns", 1)
        if sum(run["JobRunState"] in ACTIVE for run in runs) >= limit:
            raise Refused("ConcurrentRunsExceededException", f"Concurrent runs exceeded for {job['Name']}")
        execution = _admit(job, new_run(job, data, runs, previous))
    _execute(execution)
    return {"JobRunId": execution.run["Id"]}


def get(data: dict[str, Any]) -> dict[str, Any]:
    jobs.find(data["JobName"])
    with LOCK:
        for run in glue._job_runs.get(data["JobName"], []):
            if run["Id"] == data["RunId"]:
                return {"JobRun": _shown(run)}
    raise not_found(f"Job run {data['RunId']} of job {data['JobName']} does not exist.")


def list_runs(data: dict[str, Any]) -> dict[str, Any]:
    """A page of runs, the newest first. The token is the id of the last run of the page before."""
    jobs.find(data["JobName"])
    with LOCK:
        runs = [_shown(run) for run in reversed(glue._job_runs.get(data["JobName"], []))]
    token = data.get("NextToken")
    if token:
        ids = [run["Id"] for run in runs]
        if token not in ids:
            raise invalid(f"NextToken is not valid: {token}")
        runs = runs[ids.index(token) + 1 :]
    size = data.get("MaxResults", PAGE)
    page = {"JobRuns": runs[:size]}
    return {**page, "NextToken": runs[size - 1]["Id"]} if len(runs) > size else page


def stop(data: dict[str, Any]) -> dict[str, Any]:
    """Stops each run that can be stopped, and names the others. The end of a run is asynchronous."""
    name, stopped, errors = data["JobName"], [], []
    with LOCK:
        runs = {run["Id"]: run for run in glue._job_runs.get(name, [])}
        for run_id in data["JobRunIds"]:
            state = runs.get(run_id, {}).get("JobRunState")
            if state in ACTIVE:
                EXECUTIONS[run_id].request_stop()
                stopped.append({"JobName": name, "JobRunId": run_id})
                continue
            code, message = _why_not_stopped(run_id, state)
            detail = {"ErrorCode": code, "ErrorMessage": message}
            errors.append({"JobName": name, "JobRunId": run_id, "ErrorDetail": detail})
    return {"SuccessfulSubmissions": stopped, "Errors": errors}


def _why_not_stopped(run_id: str, state: str | None) -> tuple[str, str]:
    if state is None:
        return "EntityNotFoundException", f"Job run {run_id} does not exist."
    return "JobRunInTerminalStateException", f"Job run {run_id} has ended in state {state}."


def _previous(runs: list[dict[str, Any]], run_id: str) -> dict[str, Any]:
    """The run to retry."""
    for run in runs:
        if run["Id"] == run_id:
            if run["JobRunState"] not in ENDED:
                raise invalid(f"Job run {run_id} is in state {run['JobRunState']} and cannot be retried")
            return run
    raise not_found(f"Job run {run_id} does not exist.")


def _admit(job: dict[str, Any], run: dict[str, Any]) -> Execution:
    """Records a run. Needs `LOCK`, so that every recorded run can be stopped."""
    glue._job_runs.setdefault(job["Name"], []).append(run)
    execution = EXECUTIONS[run["Id"]] = Execution(run, copy.deepcopy(job))
    return execution


def _execute(execution: Execution) -> None:
    """Executes a run, and the retries that follow it, in a thread."""
    run, job = execution.run, execution.job

    def follow() -> None:
        execution.execute()
        retry = None
        with LOCK:
            EXECUTIONS.pop(run["Id"], None)
            execution.finish()
            # # In one step, so that no other run takes the place of the retry.
            if run["JobRunState"] == "FAILED" and run["Attempt"] < job["MaxRetries"]:
                runs = glue._job_runs.get(job["Name"], [])
                retry = _admit(job, new_run(job, {}, runs, run))
        notices.job_ended(run)
        if retry is not None:
            _execute(retry)

    # # Accounts and regions of MiniStack are in the context of the request.
    threading.Thread(target=contextvars.copy_context().run, args=(follow,), daemon=True).start()


def _shown(run: dict[str, Any]) -> dict[str, Any]:
    """A copy of the run. Its execution time grows while it runs."""
    shown = copy.deepcopy(run)
    execution = EXECUTIONS.get(run["Id"])
    if execution is not None:
        shown["ExecutionTime"] = execution.seconds
    return shown
