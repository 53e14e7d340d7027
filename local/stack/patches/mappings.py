"""An event source mapping's `MaximumConcurrency` may come from a parameter of the template, whose value is a text."""

from __future__ import annotations

from typing import Any

from ministack.services import lambda_svc

from . import pin


def apply() -> None:
    """Reads `MaximumConcurrency` as a number, as CloudFormation does with a property of that type."""

    def concurrency(esm: dict[str, Any], *rest: Any) -> int:
        scaling = dict(esm.get("ScalingConfig") or {})
        if "MaximumConcurrency" in scaling:
            scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
        allowed: int = sqs_esm_concurrency({**esm, "ScalingConfig": scaling}, *rest)
        return allowed

    sqs_esm_concurrency = pin.replace(lambda_svc, "_sqs_esm_concurrency", concurrency)
