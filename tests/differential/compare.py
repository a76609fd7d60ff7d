"""Where the AWS CLI and keepstep differ in one case; nothing where they do the same."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keepstep.objects.filters import Filters, Rule
from tests.cli.conftest import Ran
from tests.differential.tools import Tools
from tests.differential.world import Case

_FIELDS = (
    "ContentLength", "ContentType", "ContentEncoding", "ContentLanguage", "ContentDisposition", "CacheControl",
    "ExpiresString", "Metadata", "StorageClass", "ServerSideEncryption", "SSEKMSKeyId", "WebsiteRedirectLocation",
    "ChecksumCRC32C", "ChecksumSHA256", "ChecksumSHA1",
)  # fmt: skip
"""Of HeadObject. CRC32 is left out: the AWS CLI computes it unasked."""


@dataclass
class Difference:
    """One case, and what each of the two did."""

    case: Case
    what: str
    aws: Any
    ours: Any

    def __str__(self) -> str:
        return f"case {self.case.number}: {self.what}\n  {self.case}\n  aws:  {self.aws}\n  ours: {self.ours}"


def compare_plans(tools: Tools, case: Case) -> Difference | None:
    """The same places, looked at by both with ``--dryrun``."""
    source, target = tools.places(case)
    theirs = tools.aws(source, target, "--dryrun", *case.words)
    ours = tools.keepstep(source, target, "--dryrun", *case.words)
    return _first(
        case,
        ("exit code", code_with_us(case, theirs), ours.code),
        ("plan", plan_with_us(case, theirs), _lines(ours)),
    )


def compare_results(tools: Tools, case: Case, client: Any) -> Difference | None:
    """Equal places, each synced by one of the two, and what is there afterwards."""
    found = []
    for tool in (tools.aws, tools.keepstep):
        source, target = tools.places(case)
        ran = tool(source, target, *case.words)
        actions = sorted(line.partition(":")[0] + line.rpartition("/")[2] for line in ran.out.splitlines())
        found.append((ran.code, actions, looked_at(target, client)))
    (code, actions, there), (our_code, our_actions, our_there) = found
    return _first(
        case, ("exit code", code, our_code), ("actions", actions, our_actions), ("result", there, our_there)
    )


def looked_at(target: str, client: Any) -> dict[str, Any]:
    """What is there: of files contents and time, of objects what HeadObject, the ACL and the tags say."""
    if not target.startswith("s3://"):
        paths = [path for path in Path(target).rglob("*") if path.is_file()]
        return {str(p.relative_to(target)): (p.read_bytes(), os.stat(p).st_mtime) for p in paths}
    bucket, _, prefix = target.removeprefix("s3://").partition("/")
    listed = client.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", ())
    return {item["Key"]: _object(client, bucket, item["Key"]) for item in listed}


def _object(client: Any, bucket: str, key: str) -> dict[str, Any]:
    head = client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    acl = client.get_object_acl(Bucket=bucket, Key=key)["Grants"]
    grants = sorted((grant["Grantee"].get("URI", ""), grant["Permission"]) for grant in acl)
    return {**{name: head.get(name) for name in _FIELDS if name in head}, "grants": grants}


def _lines(ran: Ran) -> list[str]:
    """Actions in no order."""
    return sorted(ran.out.splitlines())


def plan_with_us(case: Case, theirs: Ran) -> list[str]:
    """The AWS CLI's plan without what we do not do: delete the copy of something that cannot be read.

    A link that is not followed is nothing, for both.
    """
    if "--no-follow-symlinks" in case.words:
        return _lines(theirs)
    links = [name for name, each in case.source.items() if each.link == "nothing"]
    return [line for line in _lines(theirs) if not (line.startswith("(dryrun) delete") and _ends(line, links))]


def code_with_us(case: Case, theirs: Ran) -> int:
    """The AWS CLI's exit code without what we do not do: warn of links that the filters exclude."""
    links = [name for name, each in case.source.items() if each.link == "nothing"]
    filters = Filters([Rule(case.words[n] == "--include", case.words[n + 1]) for n in _filters(case)])
    is_for_links = theirs.code == 2 and links and not any(map(filters.includes, links))
    return 0 if is_for_links and theirs.err.count("warning: ") == len(links) else theirs.code


def _filters(case: Case) -> list[int]:
    return [n for n, word in enumerate(case.words) if word in ("--include", "--exclude")]


def _ends(line: str, names: list[str]) -> bool:
    return any(line.endswith(f"/{name}") for name in names)


def _first(case: Case, *pairs: tuple[str, Any, Any]) -> Difference | None:
    return next((Difference(case, *pair) for pair in pairs if pair[1] != pair[2]), None)
