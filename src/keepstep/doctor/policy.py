"""Uses IAM's policy simulator (iam:SimulatePrincipalPolicy) for actions that cannot be tried."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from keepstep.clouds.aws import AwsIdentity
from keepstep.doctor.check import Check, fail, ok, unknown
from keepstep.errors import Error
from keepstep.vaults.aws_calls import AwsCalls

_ASSUMED = re.compile(r"arn:([\w-]+):sts::(\d+):assumed-role/([^/]+)/.*")


@dataclass(frozen=True, slots=True)
class Grant:
    """One action on one resource, as IAM names them."""

    action: str
    resource: str


async def simulated(name: str, about: str, identity: AwsIdentity, grants: Sequence[Grant]) -> Check:
    """Unknown, with the statement to add, if the simulator is denied. Ignores the resource's own policy."""
    sts, iam = AwsCalls("sts", identity), AwsCalls("iam", identity)
    fix = f"add to the policy: {statement(grants)}"
    try:
        caller = (await sts.call("GetCallerIdentity", "AWS", identity.config.region or "us-east-1")).text("Arn")
        refused = [grant for grant in grants if not await _allows(iam, principal(caller), grant)]
    except Error as error:
        return unknown(name, about, f"IAM does not say: {error.message}", f"if it is missing, {fix}")
    except Exception as error:  # noqa: BLE001 - stores that speak S3 have no IAM, and each says so in its own way
        return unknown(name, about, f"IAM does not say ({type(error).__name__})", f"if it is missing, {fix}")
    finally:
        await sts.close()
        await iam.close()
    if refused:
        missing = ", ".join(grant.action for grant in refused)
        return fail(
            name, about, f"{principal(caller)} is not allowed {missing}", f"add to the policy: {statement(refused)}"
        )
    return ok(name, about, f"{principal(caller)} is allowed {', '.join(grant.action for grant in grants)}")


async def _allows(iam: AwsCalls, who: str, grant: Grant) -> bool:
    answer = await iam.call(
        "SimulatePrincipalPolicy",
        who,
        None,
        PolicySourceArn=who,
        ActionNames=[grant.action],
        ResourceArns=[grant.resource],
    )
    return all(result.text("EvalDecision") == "allowed" for result in answer.listed("EvaluationResults"))


def principal(caller: str) -> str:
    """The role behind a session; users are themselves."""
    return _ASSUMED.sub(r"arn:\1:iam::\2:role/\3", caller)


def statement(grants: Iterable[Grant]) -> str:
    """The policy statements to add, one line of JSON per resource."""
    by_resource: dict[str, list[str]] = {}
    for grant in grants:
        by_resource.setdefault(grant.resource, []).append(grant.action)
    return "; ".join(
        json.dumps({"Effect": "Allow", "Action": actions, "Resource": resource})
        for resource, actions in by_resource.items()
    )
