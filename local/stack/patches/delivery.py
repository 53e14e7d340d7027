"""EventBridge invokes Lambda asynchronously, with the retries and the dead-letter queue of the function."""

from __future__ import annotations

import json

from ministack.services import eventbridge, lambda_svc

from . import pin


def apply() -> None:
    """Retries deliveries; MiniStack invokes a rule's function once, and loses the event if the function crashes."""
    pin.original(lambda_svc, "invoke_async_with_retry")
    pin.replace(eventbridge, "_dispatch_to_lambda", _deliver)


def _deliver(arn: str, payload: str) -> None:
    function, config, name = lambda_svc._get_func_record_for_ref(arn)
    if not function or not config:
        eventbridge.logger.warning("EventBridge: the target function %s does not exist", name)
        return
    lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(function, config), json.loads(payload))
