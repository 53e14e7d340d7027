"""The entry point for all requests to the local stack: counts them, applies faults, and forwards them.

Requests to the Redshift Data API are forwarded to its emulator, after the same check of the caller's IAM policies that
MiniStack makes for its own services.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import re
import threading
from typing import Any

from ministack import app
from ministack.core import iam_actions, iam_evaluator, router
from ministack.core.responses import get_account_id
from ministack.services import eventbridge, stepfunctions

from .counts import COUNTS
from .faults import FAULTS
from .patches import pin, runs
from .workers import invocation_of

Response = tuple[int, dict[str, str], Any]
REDSHIFT_DATA = "RedshiftData."
_HOP_BY_HOP = frozenset({"connection", "transfer-encoding", "content-length", "keep-alive", "host"})


def apply(redshift_data_port: int | None) -> None:
    """Installs the gateway in front of MiniStack's services; the Data API emulator listens on `redshift_data_port`."""

    async def dispatch(
        method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]], request: str
    ) -> Response:
        operation = name_of(method, path, headers, body, query)
        COUNTS.add("requests", operation)
        key = router.extract_access_key_id(headers, query)
        caller = invocation_of(key)
        if caller is not None:
            COUNTS.add("by_function", f"{caller.function} {operation}")
            caller.calls += 1
            if caller.meets("before-call"):
                caller.kill()
                return _refusal(operation, headers, "InternalFailure", 500)
        fault = FAULTS.request_for("throttle", operation)
        if fault is not None:
            return _refusal(operation, headers, fault.error, 400)
        slow = FAULTS.request_for("slow", operation)
        if slow is not None:
            await asyncio.sleep(slow.seconds)
        lost = FAULTS.request_for("lose", operation)
        response: Response
        if headers.get("x-amz-target", "").startswith(REDSHIFT_DATA):
            response = await _redshift_data(method, path, headers, body, query, operation, key, redshift_data_port)
        else:
            response = await dispatch_to_service(method, path, headers, body, query, request)
        if caller is not None and caller.meets("after-call"):
            caller.kill()
            return _refusal(operation, headers, "InternalFailure", 500)
        return response if lost is None else _refusal(operation, headers, lost.error, 500)

    dispatch_to_service = pin.replace(app, "_dispatch_service_request", dispatch)
    _count_step_functions()
    _apply_faults_to_deliveries()


def name_of(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, list[str]]) -> str:
    """The `service:Operation` of the request, in the spelling of IAM."""
    target = headers.get("x-amz-target", "")
    if target.startswith(REDSHIFT_DATA):
        return f"redshift-data:{target[len(REDSHIFT_DATA) :]}"
    routing = app._routing_params(method, path, headers, body, query)
    service = router.detect_service(method, path, headers, routing)
    action = iam_actions.extract_iam_action(service, method, path, headers, body, routing)
    return action or f"{service}:{app._ct_event_name(service, method, path, headers, query)}"


async def _redshift_data(
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query: dict[str, list[str]],
    operation: str,
    key: str | None,
    port: int | None,
) -> Response:
    if port is None:
        return _json_error("InternalServerException", "redshift-data is not running", 500)
    iam_evaluator.pin_request_caller(headers, query)
    region = router.extract_region(headers)
    resource = _redshift_resource(body, region)
    session = _redshift_session(body)
    denied = (
        iam_evaluator.enforce(key, operation, "redshift-data", region, resource_arn=resource, service_context=session)
        if app.AUTH
        else None
    )
    if isinstance(denied, iam_evaluator.AuthError):
        return _json_error(denied.code, denied.message, 403)
    if denied is not None:
        message = f"User: {denied.principal_arn} is not authorized to perform: {operation} on resource: {resource}"
        return _json_error("AccessDeniedException", message, 400)
    try:
        return await _forward(port, method, path, headers, body)
    except (OSError, asyncio.IncompleteReadError) as failure:
        return _json_error("InternalServerException", f"cannot connect to redshift-data on port {port}: {failure}", 500)


def _redshift_resource(body: bytes, region: str) -> str:
    """The ARN on which the IAM action is checked, for policies that name the workgroup or the cluster."""
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return "*"
    account = get_account_id()
    if request.get("ClusterIdentifier"):
        return f"arn:aws:redshift:{region}:{account}:cluster:{request['ClusterIdentifier']}"
    workgroup = request.get("WorkgroupName")
    if not workgroup:
        return "*"
    prefix = "" if ":" in workgroup else f"arn:aws:redshift-serverless:{region}:{account}:workgroup/"
    return f"{prefix}{workgroup}"


def _redshift_session(body: bytes) -> dict[str, str]:
    """The condition key of a request that names a session. Its value, the owner, is known to the emulator only."""
    try:
        session = json.loads(body or b"{}").get("SessionId")
    except ValueError:
        session = None
    return {"redshift-data:session-owner-iam-userid": session} if session else {}


async def _forward(port: int, method: str, path: str, headers: dict[str, str], body: bytes) -> Response:
    """Sends one HTTP/1.1 request over a new loopback connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{port}", "connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items() if name not in _HOP_BY_HOP]
        lines += [f"content-length: {len(body)}", "", ""]
        writer.write("\r\n".join(lines).encode("latin-1") + body)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split()[1])
        pairs = (line.partition(":") for line in head[1:] if line)
        response_headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if "chunked" in response_headers.get("transfer-encoding", ""):
            content = b""
            while size := int((await reader.readline()).split(b";")[0], 16):
                content += await reader.readexactly(size)
                await reader.readexactly(2)
        elif "content-length" in response_headers:
            content = await reader.readexactly(int(response_headers["content-length"]))
        else:
            content = await reader.read()
    finally:
        writer.close()
    return status, {name: value for name, value in response_headers.items() if name not in _HOP_BY_HOP}, content


def _refusal(operation: str, headers: dict[str, str], error: str, status: int) -> Response:
    """An error in the protocol of the request: XML for S3 and the query protocol, JSON for the others."""
    message = "injected by a fault"
    if operation.startswith("s3:"):
        status, xml = 503, f"<Error><Code>{error}</Code><Message>{message}</Message></Error>"
    elif "x-www-form-urlencoded" in headers.get("content-type", ""):
        xml = f"<ErrorResponse><Error><Code>{error}</Code><Message>{message}</Message></Error></ErrorResponse>"
    else:
        return _json_error(error, message, status)
    return status, {"Content-Type": "text/xml"}, xml.encode()


def _json_error(error: str, message: str, status: int) -> Response:
    headers = {"Content-Type": "application/x-amz-json-1.1", "x-amzn-errortype": error}
    return status, headers, json.dumps({"__type": error, "message": message}).encode()


_RESOURCE = re.compile(r"^arn:aws:states:::(?:aws-sdk:)?(?P<service>[a-z0-9-]+):(?P<action>[A-Za-z0-9]+)")


def _count_step_functions() -> None:
    """Counts and throttles the requests of Step Functions, and counts the states that executions enter."""

    def invoke(resource: str, arguments: Any) -> Any:
        operation = _operation_of(resource)
        COUNTS.add("requests", operation)
        COUNTS.add("by_states", operation)
        prefix = stepfunctions._AWS_SDK_ERROR_PREFIX.get(operation.partition(":")[0], "Lambda")
        fault = FAULTS.request_for("throttle", operation)
        if fault is not None:
            raise stepfunctions._ExecutionError(f"{prefix}.{fault.error}", "injected by a fault")
        slow = FAULTS.request_for("slow", operation)
        if slow is not None:
            stepfunctions._scaled_sleep(slow.seconds)
        lost = FAULTS.request_for("lose", operation)
        result = invoke_resource(resource, arguments)
        if lost is not None:
            raise stepfunctions._ExecutionError(f"{prefix}.{lost.error}", "injected by a fault")
        return result

    def add(execution: dict[str, Any], event_type: str, details: dict[str, Any] | None = None) -> Any:
        if event_type.endswith("StateEntered"):
            run = runs.CURRENT.get()
            arn = run.arn if run else execution.get("executionArn", "")
            COUNTS.add("states", arn.rsplit(":", 1)[-1])
        return add_event(execution, event_type, details)

    invoke_resource = pin.replace(stepfunctions, "_invoke_resource", invoke)
    add_event = pin.replace(stepfunctions, "_add_event", add)


def _operation_of(resource: str) -> str:
    found = _RESOURCE.match(resource)
    if not found:
        return "lambda:InvokeFunction" if ":function:" in resource else f"states:{resource}"
    action = found["action"][0].upper() + found["action"][1:]
    name = f"{found['service']}:{action}"
    return "lambda:InvokeFunction" if name == "lambda:Invoke" else name


def _apply_faults_to_deliveries() -> None:
    """Counts deliveries of EventBridge, and applies faults that drop, double or delay them."""

    def deliver(target: dict[str, Any], event: dict[str, Any], rule: dict[str, Any], view: Any = None) -> None:
        view = view or eventbridge._pattern_event_view(event)
        COUNTS.add("deliveries", str(rule.get("Name", "")))
        fault = FAULTS.delivery_for(lambda pattern: eventbridge._matches_pattern_view(pattern, view, "fault"))
        if fault is None:
            invoke_target(target, event, rule, view)
        elif fault.kind == "double":
            invoke_target(target, event, rule, view)
            invoke_target(target, event, rule, view)
        elif fault.kind == "delay":
            context = contextvars.copy_context()
            later = threading.Timer(fault.seconds, context.run, (invoke_target, target, event, rule, view))
            later.daemon = True
            later.start()

    invoke_target = pin.replace(eventbridge, "_invoke_target", deliver)
