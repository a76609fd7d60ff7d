"""Every secret of every vault: kept, found by id or name, and readable as it was before its last change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any, Protocol

from keepstep_localcloud.clock import Clock
from keepstep_localcloud.identity import REGION_KEY, new_ocid
from keepstep_localcloud.vault import changes
from keepstep_localcloud.vault.changes import Moment
from keepstep_localcloud.vault.details import CreateSecretDetails, invalid
from keepstep_localcloud.vault.model import RetryToken, Secret, not_found
from keepstep_localcloud.wire import ServiceError

RETRY_TOKEN_AGE = timedelta(hours=24)
"""``opc-retry-token``: "retry tokens expire after 24 hours"."""


class Documents(Protocol):
    """Where secrets outlive the process: one JSON document for each, contents in base64 and not encrypted."""

    def load_all(self) -> Iterable[bytes]: ...

    def save(self, secret_id: str, document: bytes, /) -> None:
        """Keeps the document in place of the one saved before. When it raises, the request fails unchanged."""
        ...


class MemoryDocuments:
    """Documents that end with the process."""

    def __init__(self) -> None:
        self._documents: dict[str, bytes] = {}

    def load_all(self) -> Iterable[bytes]:
        return list(self._documents.values())

    def save(self, secret_id: str, document: bytes) -> None:
        self._documents[secret_id] = document


class Secrets:
    """The state behind the Vault API.

    ``settle`` is how long a secret stays in CREATING, UPDATING and the like after a change; none by default.
    """

    def __init__(
        self,
        documents: Documents,
        clock: Clock,
        *,
        region: str = REGION_KEY,
        settle: timedelta = timedelta(0),
    ) -> None:
        self._documents = documents
        self._clock = clock
        self._region = region
        self.settle = settle
        self._secrets: dict[str, Secret] = {}
        self._before: dict[str, Secret | None] = {}
        self._written: str | None = None
        self._names: dict[tuple[str, str], str] = {}
        self._tokens: dict[str, str] = {}
        for document in documents.load_all():
            self._index(Secret.model_validate_json(document))

    def now(self) -> datetime:
        """In whole milliseconds, which is all that the API shows."""
        now = self._clock.now()
        return now.replace(microsecond=now.microsecond // 1000 * 1000)

    def key_of(self, secret_id: str) -> str:
        """The OCID of the key that encrypts a secret; empty where there is no such secret."""
        try:
            return self.get(secret_id).key_id
        except ServiceError:
            return ""

    def get(self, secret_id: str, *, stale: bool = False) -> Secret:
        """``stale``: as it was before its last change. Raises 404 ``NotAuthorizedOrNotFound``."""
        secret = self._fresh(secret_id) if secret_id in self._secrets else None
        if stale:
            secret = self._before.get(secret_id, secret)
        if secret is None:
            raise not_found()
        return secret

    def named(self, vault_id: str, secret_name: str, *, stale: bool = False) -> Secret:
        """Raises 404 ``NotAuthorizedOrNotFound``."""
        return self.get(self._names.get((vault_id, secret_name), ""), stale=stale)

    def all(self, *, stale: bool = False) -> Iterator[Secret]:
        """``stale``: as they all were before the last change to any."""
        for secret_id in list(self._secrets):
            secret: Secret | None = self._fresh(secret_id)
            if stale and secret_id == self._written:
                secret = self._before[secret_id]
            if secret:
                yield secret

    def create(self, document: Any, details: CreateSecretDetails, retry_token: str | None) -> Secret:
        """``document`` is the body that ``details`` came from: the same one with the same token is the same secret.

        Raises 400 ``InvalidParameter`` for a name in use (a secret pending deletion still has its name, see
        external-secrets issue 6771) and 409 ``InvalidatedRetryToken``.
        """
        body = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
        if retry_token and (made := self._made_by(retry_token)):
            return _same(made, body)
        holder = self._names.get((details.vault_id, details.secret_name))
        if holder and self._fresh(holder).state != "DELETED":
            raise invalid("name already exists")
        token = RetryToken(token=retry_token, body=body) if retry_token else None
        return self._write(changes.create(self._new_id(), self._moment(), details, token))

    def change(self, secret_id: str, if_match: str | None, change: Callable[[Secret, Moment], Secret]) -> Secret:
        """Raises 404 ``NotAuthorizedOrNotFound``, 412 ``NoEtagMatch``, and what ``change`` raises."""
        secret = self.get(secret_id)
        when = self._moment()
        if if_match not in (None, "*", secret.etag(when.now)):
            raise ServiceError(412, "NoEtagMatch", "the etag is not the secret's current one")
        return self._write(change(secret, when))

    def _fresh(self, secret_id: str) -> Secret:
        """The secret now; what time did to it is kept, but is nobody's write."""
        secret = self._secrets[secret_id]
        aged = secret.at(self.now())
        if aged is not secret:
            self._keep(aged)
        return aged

    def _write(self, secret: Secret) -> Secret:
        before = self._secrets.get(secret.id)
        self._keep(secret)
        self._before[secret.id] = before
        self._written = secret.id
        return secret

    def _keep(self, secret: Secret) -> None:
        document = secret.model_dump_json(by_alias=True, exclude_none=True)
        self._documents.save(secret.id, document.encode())
        self._index(secret)

    def _index(self, secret: Secret) -> None:
        self._secrets[secret.id] = secret
        if secret.retry_token:
            self._tokens[secret.retry_token.token] = secret.id
        if secret.state != "DELETED":
            self._names[secret.vault_id, secret.secret_name] = secret.id

    def _made_by(self, retry_token: str) -> Secret | None:
        secret_id = self._tokens.get(retry_token)
        made = self._fresh(secret_id) if secret_id else None
        return made if made and self.now() - made.created < RETRY_TOKEN_AGE else None

    def _moment(self) -> Moment:
        now = self.now()
        return Moment(now, now + self.settle)

    def _new_id(self) -> str:
        return new_ocid("vaultsecret", self._region)


def _same(secret: Secret, body: str) -> Secret:
    if secret.retry_token is None or secret.retry_token.body != body:
        raise ServiceError(409, "InvalidatedRetryToken", "the token was used for another request")
    return secret
