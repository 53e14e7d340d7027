"""EventBridge to Lambda: an asynchronous invocation, retried and dead-lettered as the function's configuration says."""

from __future__ import annotations

import json

from ministack.services import eventbridge, lambda_svc

from . import pin


def apply() -> None:
    """MiniStack invokes a rule's function once and forgets the event when the function dies."""
    pin.original(lambda_svc, "invoke_async_with_retry")
    pin.replace(eventbridge, "_dispatch_to_lambda", _deliver)


def _deliver(arn: str, payload: str) -> None:
    function, config, name = lambda_svc._get_func_record_for_ref(arn)
    if not function or not config:
        eventbridge.logger.warning("EventBridge: the target function %s does not exist", name)
        return
    lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(function, config), json.loads(payload))
