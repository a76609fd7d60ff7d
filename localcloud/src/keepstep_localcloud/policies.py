"""Policies as OCI writes them, evaluated for each request of the local OCI.

    allow dynamic-group rotators to use secrets in compartment ops where target.secret.id = 'ocid1.vaultsecret…'
    allow group writers to manage objects in tenancy
        where all {target.bucket.name = 'b', request.permission = 'OBJECT_CREATE'}      (on one line)
    endorse group reports to read objects in tenancy usage-report

``group`` and ``any-group`` mean the registered user, ``dynamic-group`` the instance, the function and the pod,
whatever their names; ``any-user`` means everybody. Places are not compared: everything lies in one compartment.
Conditions know ``=``, ``!=``, ``in (…)``, patterns between slashes, ``all {…}`` and ``any {…}``.

Source: "Policy Syntax", "Conditions" and "General Variables for All Requests" of OCI's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from keepstep_localcloud.errors import ConfigError
from keepstep_localcloud.objectstorage.buckets import BLING
from keepstep_localcloud.operations import namespace_in
from keepstep_localcloud.permissions import NEEDS, OVERWRITE, granted_by
from keepstep_localcloud.signatures import denied
from keepstep_localcloud.wire import Principal, Request, Response, ServiceError

Variables = Mapping[str, str]
Condition = Callable[[Variables], bool]

_STATEMENT = re.compile(
    r"(?P<word>allow|endorse|admit)\s+(?P<who>any-user|any-group|group|dynamic-group|service)\b(?P<names>.*?)"
    r"\s+to\s+(?P<verb>\w+)\s+(?P<resource>[\w-]+)"
    r"\s+in\s+(?P<place>(?:any-)?tenancy(?:\s+(?!where\b)[\w.:-]+)?|compartment\s+(?:id\s+)?[\w.:-]+)"
    r"(?:\s+where\s+(?P<where>.+))?",
    re.IGNORECASE | re.DOTALL,
)
_TOKEN = re.compile(r"\s*(?:(all|any)\s*\{|([\w.-]+)\s*(!=|=|in\b)\s*|('[^']*'|/[^/]*/)|([(),{}]))", re.IGNORECASE)
_USERS, _MACHINES = ("api_key", "session"), ("instance", "resource", "workload")


@dataclass(frozen=True)
class Statement:
    """One line of a policy."""

    text: str
    kinds: tuple[str, ...]
    """The kinds of principal that it speaks of."""
    permissions: frozenset[str]
    condition: Condition
    is_endorsement: bool = False
    """It is about another tenancy, such as the one that cost reports lie in."""


class Policies:
    """All that is allowed; what no statement allows is refused. ``statements`` None: everything is allowed.

    ``exists`` tells whether there is an object, by namespace, bucket and name; ``key_of`` gives the OCID of the key
    of a secret, or nothing where there is no such secret.
    """

    PATH = "/_localcloud/policy"

    def __init__(
        self,
        statements: list[Statement] | None,
        exists: Callable[[str, str, str], bool],
        key_of: Callable[[str], str],
    ) -> None:
        self._statements = statements
        self._exists = exists
        self._key_of = key_of

    def serve(self, method: str, body: bytes) -> Response:
        """``POST`` sets the statements, ``DELETE`` allows everything again."""
        try:
            self._statements = parse_policy(body.decode()) if method == "POST" else None
        except (ConfigError, UnicodeDecodeError) as exc:
            raise ServiceError(400, "InvalidParameter", str(exc)) from exc
        return Response(204)

    def check(self, operation: str, request: Request, parameters: Mapping[str, str]) -> None:
        """Raises 404, as OCI does for what somebody may not see; 401 for a key that is only good for tokens."""
        if request.principal.kind == "resource_key" and not operation.startswith("Resource"):
            raise denied("a resource's own key signs for tokens alone")
        if self._statements is None:
            return
        is_foreign = parameters.get("namespace") == BLING
        variables = self._variables(operation, request, parameters)
        for permission in sorted(self._needed(operation, request, parameters)):
            asked = {**variables, "request.permission": permission}
            about = (permission, request.principal, asked, is_foreign)
            if not any(self._allows(statement, *about) for statement in self._statements):
                raise _refusal(operation, permission, parameters)

    def _allows(
        self, statement: Statement, permission: str, principal: Principal, asked: Variables, is_foreign: bool
    ) -> bool:
        return (
            statement.is_endorsement == is_foreign
            and principal.kind in statement.kinds
            and permission in statement.permissions
            and statement.condition(asked)
        )

    def _needed(self, operation: str, request: Request, parameters: Mapping[str, str]) -> frozenset[str]:
        needed = NEEDS.get(operation, frozenset())
        is_new = request.headers.get("if-none-match") == "*"
        if operation != "PutObject" or is_new:
            return needed
        place = (parameters["namespace"], parameters["bucket"], parameters["name"])
        return needed | {OVERWRITE} if self._exists(*place) else needed

    def _variables(self, operation: str, request: Request, parameters: Mapping[str, str]) -> dict[str, str]:
        found = {
            "request.operation": operation,
            "request.principal.id": request.principal.subject,
            "request.principal.type": request.principal.kind,
        }
        for parameter, variable in _TARGETS.items():
            if parameter in parameters:
                found[variable] = parameters[parameter]
        if "secret_id" in parameters:
            found["target.key.id"] = self._key_of(parameters["secret_id"])
        if operation == "PostMetricData":
            found["target.metrics.namespace"] = namespace_in(request)
        return found


_TARGETS = {"secret_id": "target.secret.id", "bucket": "target.bucket.name", "name": "target.object.name"}


def _refusal(operation: str, permission: str, parameters: Mapping[str, str]) -> ServiceError:
    """Ours adds what is missing, which OCI does not tell."""
    missing = f"({operation} needs {permission})"
    if "bucket" in parameters:
        bucket = parameters["bucket"]
        text = f"Either the bucket named '{bucket}' does not exist or you are not authorized to access it {missing}"
        return ServiceError(404, "BucketNotFound", text)
    text = "Authorization failed or requested resource not found."
    return ServiceError(404, "NotAuthorizedOrNotFound", f"{text} {missing}")


def parse_policy(text: str) -> list[Statement]:
    """The statements of a file, one a line; ``#`` begins a comment. Raises :class:`ConfigError` with the line."""
    statements = []
    for number, line in enumerate(text.splitlines(), 1):
        line = line.partition("#")[0].strip()
        if not line or line.lower().startswith("define "):
            continue
        try:
            statements.append(parse_statement(line))
        except (ValueError, KeyError) as exc:
            raise ConfigError(f"line {number} of the policy: {exc}") from exc
    return statements


def parse_statement(text: str) -> Statement:
    """Raises ``ValueError`` for what is not a statement, ``KeyError`` for a verb or resource not known here."""
    found = _STATEMENT.fullmatch(text.strip())
    if not found:
        raise ValueError("not a statement: allow … to VERB RESOURCE in PLACE [where …]")
    who = found["who"].lower()
    kinds = _MACHINES if who == "dynamic-group" else _USERS if "group" in who else (*_USERS, *_MACHINES)
    return Statement(
        text=text,
        kinds=() if who == "service" else kinds,
        permissions=granted_by(found["verb"].lower(), found["resource"].lower()),
        condition=_parse_condition(found["where"]) if found["where"] else lambda variables: True,
        is_endorsement=found["word"].lower() == "endorse",
    )


def _parse_condition(text: str) -> Condition:
    tokens = _tokens(text)
    condition = _condition(tokens)
    if tokens:
        raise ValueError(f"the condition goes on after its end: {tokens[0][0]}")
    return condition


def _tokens(text: str) -> list[tuple[str, ...]]:
    found, at = [], 0
    while at < len(text.rstrip()):
        token = _TOKEN.match(text, at)
        if not token:
            raise ValueError(f"the condition cannot be read at {text[at:][:20]!r}")
        found.append(tuple(group for group in token.groups() if group))
        at = token.end()
    return found


def _condition(tokens: list[tuple[str, ...]]) -> Condition:
    """Takes one condition off the front."""
    head = tokens.pop(0) if tokens else ("",)
    if len(head) == 1 and head[0].lower() in ("all", "any"):
        inner = [_condition(tokens)]
        while tokens and tokens[0] == (",",):
            tokens.pop(0)
            inner.append(_condition(tokens))
        if not tokens or tokens.pop(0) != ("}",):
            raise ValueError("a } is missing")
        together = all if head[0].lower() == "all" else any
        return lambda variables: together(each(variables) for each in inner)
    if len(head) != 2:
        raise ValueError(f"a variable is missing before {head[0]!r}")
    name, operator = head[0].lower(), head[1].lower()
    patterns = _values(tokens, in_brackets=operator == "in")
    wanted = operator != "!="
    # A variable that the request does not have makes any condition on it false ("Conditions").
    return lambda variables: name in variables and _matches(variables[name], patterns) is wanted


def _values(tokens: list[tuple[str, ...]], *, in_brackets: bool) -> list[str]:
    def value() -> str:
        token = tokens.pop(0)[0] if tokens else ""
        if not token.startswith(("'", "/")):
            raise ValueError("a value in quotes is missing")
        return token

    if not in_brackets:
        return [value()]
    if not tokens or tokens.pop(0) != ("(",):
        raise ValueError("a ( is missing")
    values = [value()]
    while tokens and tokens[0] == (",",):
        tokens.pop(0)
        values.append(value())
    if not tokens or tokens.pop(0) != (")",):
        raise ValueError("a ) is missing")
    return values


def _matches(value: str, patterns: Iterable[str]) -> bool:
    """Without regard to case, as OCI compares."""
    lower = value.lower()
    return any(
        fnmatchcase(lower, pattern[1:-1].lower()) if pattern[0] == "/" else lower == pattern[1:-1].lower()
        for pattern in patterns
    )
