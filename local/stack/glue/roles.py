"""Sessions of the roles of jobs and crawlers, which Glue assumes as `glue.amazonaws.com`."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, sts

SERVICE = "glue.amazonaws.com"


class NotAssumable(Exception):
    """The role does not exist, or its trust policy does not name Glue."""


@dataclass(frozen=True)
class Session:
    """The credentials of an assumed role, and the region of its requests."""

    access_key: str
    secret_key: str
    token: str
    region: str

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables of a process that acts in this role, on the local stack only."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.token,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            **{
                name: os.environ[name]
                for name in (
                    "AWS_ENDPOINT_URL",
                    "AWS_ENDPOINT_URL_REDSHIFT_DATA",
                    "AWS_CONFIG_FILE",
                    "AWS_SHARED_CREDENTIALS_FILE",
                    "AWS_EC2_METADATA_DISABLED",
                    "NO_PROXY",
                )
                if name in os.environ
            },
        }

    def client(self, service: str) -> Any:
        """A boto3 client whose requests go through the gateway, so that they are counted and authorized."""
        import boto3

        return boto3.client(
            service,
            endpoint_url=os.environ["AWS_ENDPOINT_URL"],
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.token,
        )

    def end(self) -> None:
        sts._sessions.pop(self.access_key, None)


def assume(role: str, session_name: str, source: str, unique: str) -> Session:
    """A session of `role`, which is a name or an ARN, for the job or the crawler with the ARN `source`.

    `unique` distinguishes it from other sessions of the role.
    """
    name = role.rsplit("/", 1)[-1]
    arn = role if role.startswith("arn:") else f"arn:aws:iam::{get_account_id()}:role/{role}"
    found = iam._roles.get(name)
    if found is None or not _trusts_glue(found.get("AssumeRolePolicyDocument", {}), source):
        raise NotAssumable(f"Role {arn} should be given assume role permissions for Glue Service.")
    digest = hashlib.sha256(f"{arn}:{session_name}:{unique}".encode()).hexdigest()
    session = Session(f"ASIA{digest[:16].upper()}", digest[16:56], digest[8:], get_region())
    sts.register_session(
        session.access_key,
        {
            "Arn": f"arn:aws:sts::{get_account_id()}:assumed-role/{name}/{session_name}",
            "UserId": f"{name}:{session_name}",
            "SecretAccessKey": session.secret_key,
            "SessionToken": session.token,
        },
    )
    return session


def _trusts_glue(policy: str | dict[str, Any], source: str) -> bool:
    """MiniStack's evaluator compares the principals of accounts only, so services are given to it as such."""
    document = json.loads(policy) if isinstance(policy, str) else policy
    statements = document.get("Statement", [])
    statements = [statements] if isinstance(statements, dict) else statements
    rewritten = [{**statement, "Principal": _as_account(statement.get("Principal"))} for statement in statements]
    context = iam_evaluator.EvalContext(
        principal_arn=SERVICE,
        principal_type="Service",
        principal_account=get_account_id(),
        action="sts:AssumeRole",
        resource_arn="*",
        region=get_region(),
        service_context={"aws:sourceaccount": get_account_id(), "aws:sourcearn": source},
    )
    return bool(iam_evaluator.evaluate_trust_policy({**document, "Statement": rewritten}, SERVICE, context))


def _as_account(principal: Any) -> Any:
    if not isinstance(principal, dict):
        return principal
    return {"AWS": principal.get("Service", [])}
