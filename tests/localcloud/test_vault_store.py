"""The vault's state: kept from one process to the next, stale when asked, and safe to create twice."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from keepstep_localcloud.vault import changes
from keepstep_localcloud.vault.details import (
    CreateSecretDetails,
    ScheduleDeletionDetails,
    UpdateSecretDetails,
    parsed,
)
from keepstep_localcloud.vault.model import Secret
from keepstep_localcloud.vault.store import MemoryDocuments, Secrets
from keepstep_localcloud.wire import ServiceError


class SetClock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


class FullDisk:
    """Documents that cannot be written."""

    def load_all(self) -> Iterable[bytes]:
        return []

    def save(self, secret_id: str, document: bytes) -> None:
        raise OSError(28, "No space left on device")


def document(name: str = "db", vault: str = "v", text: str = "one") -> dict[str, Any]:
    content = {"contentType": "BASE64", "content": base64.b64encode(text.encode()).decode()}
    return {"compartmentId": "c", "vaultId": vault, "keyId": "k", "secretName": name, "secretContent": content}


def create(secrets: Secrets, token: str | None = None, **fields: str) -> Secret:
    body = document(**fields)
    return secrets.create(body, parsed(CreateSecretDetails, body), token)


def describe(secrets: Secrets, secret_id: str, text: str, if_match: str | None = None) -> Secret:
    change = partial(changes.update, details=UpdateSecretDetails(description=text))
    return secrets.change(secret_id, if_match, change)


def delete(secrets: Secrets, secret_id: str) -> Secret:
    change = partial(changes.schedule_deletion, details=ScheduleDeletionDetails())
    return secrets.change(secret_id, None, change)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def documents() -> MemoryDocuments:
    return MemoryDocuments()


@pytest.fixture
def secrets(documents: MemoryDocuments, clock: SetClock) -> Secrets:
    return Secrets(documents, clock)


def refusal(raised: pytest.ExceptionInfo[ServiceError]) -> tuple[int, str]:
    return raised.value.status, raised.value.code


def test_everything_is_there_after_a_restart(secrets: Secrets, documents: MemoryDocuments, clock: SetClock) -> None:
    """A state that is loaded from the same documents answers the same: secrets, names and retry tokens."""
    made = describe(secrets, create(secrets, "token").id, "ours")
    again = Secrets(documents, clock)
    assert again.get(made.id) == made == again.named("v", "db")
    assert create(again, "token") == made
    with pytest.raises(ServiceError, match="name already exists"):
        create(again)


def test_a_document_that_cannot_be_written_changes_nothing(clock: SetClock) -> None:
    """When the document is not kept, the secret is not there either."""
    secrets = Secrets(FullDisk(), clock)
    with pytest.raises(OSError, match="No space"):
        create(secrets)
    assert list(secrets.all()) == []


def test_time_alone_deletes(secrets: Secrets, documents: MemoryDocuments, clock: SetClock) -> None:
    """A secret whose time has come is DELETED, its name is free, and its content is in no document."""
    old = create(secrets)
    delete(secrets, old.id)
    clock.time += timedelta(days=30)
    assert secrets.get(old.id).lifecycle_state(clock.time) == "DELETED"
    assert document()["secretContent"]["content"].encode() not in b"".join(documents.load_all())
    assert create(secrets, text="two").id != old.id


NAMES = [
    ("another name", {"name": "web"}, True),
    ("another vault", {"vault": "w"}, True),
    ("another case", {"name": "DB"}, True),
    ("the same", {}, False),
]


@pytest.mark.parametrize(("fields", "allowed"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
@pytest.mark.parametrize("deleting", [False, True])
def test_names_are_unique_in_a_vault(
    secrets: Secrets, fields: dict[str, str], allowed: bool, deleting: bool
) -> None:
    """A name is held by one secret of a vault, also while that one is pending deletion."""
    held = create(secrets)
    if deleting:
        delete(secrets, held.id)
    if allowed:
        assert create(secrets, **fields).id != held.id
        return
    with pytest.raises(ServiceError, match="name already exists") as raised:
        create(secrets, **fields)
    assert refusal(raised) == (400, "InvalidParameter")


def test_a_retried_create_makes_one_secret(secrets: Secrets) -> None:
    """The same retry token with the same body answers with the secret that is there already."""
    made = create(secrets, "token")
    assert create(secrets, "token") == made
    assert list(secrets.all()) == [made]


def test_a_retry_token_is_for_one_request(secrets: Secrets) -> None:
    """The same retry token with another body is 409 InvalidatedRetryToken, and makes nothing."""
    create(secrets, "token")
    with pytest.raises(ServiceError) as raised:
        create(secrets, "token", name="other")
    assert refusal(raised) == (409, "InvalidatedRetryToken")
    assert len(list(secrets.all())) == 1


def test_a_retry_token_lasts_a_day(secrets: Secrets, clock: SetClock) -> None:
    """After 24 hours the token means nothing, and the name is found taken."""
    create(secrets, "token")
    clock.time += timedelta(days=1)
    with pytest.raises(ServiceError, match="name already exists"):
        create(secrets, "token")


IF_MATCH = [("none", None, 200), ("any", "*", 200), ("current", "etag", 200), ("other", "x", 412)]


@pytest.mark.parametrize(("if_match", "status"), [row[1:] for row in IF_MATCH], ids=[row[0] for row in IF_MATCH])
def test_if_match(secrets: Secrets, clock: SetClock, if_match: str | None, status: int) -> None:
    """A change with an etag that is not the current one is 412 NoEtagMatch, and changes nothing."""
    made = create(secrets)
    wanted = made.etag(clock.time) if if_match == "etag" else if_match
    if status == 200:
        assert describe(secrets, made.id, "new", wanted).description == "new"
        return
    with pytest.raises(ServiceError) as raised:
        describe(secrets, made.id, "new", wanted)
    assert refusal(raised) == (412, "NoEtagMatch")
    assert secrets.get(made.id) == made


def test_an_etag_is_good_for_one_change(secrets: Secrets, clock: SetClock) -> None:
    """Of two changes with the same etag the second one loses."""
    etag = create(secrets).etag(clock.time)
    [made] = secrets.all()
    describe(secrets, made.id, "first", etag)
    with pytest.raises(ServiceError):
        describe(secrets, made.id, "second", etag)
    assert secrets.get(made.id).description == "first"


def test_stale_is_before_the_last_write(secrets: Secrets) -> None:
    """A stale read is one write behind, and behind nothing when the secret was not written since the start."""
    made = create(secrets)
    with pytest.raises(ServiceError) as raised:
        secrets.get(made.id, stale=True)
    assert refusal(raised) == (404, "NotAuthorizedOrNotFound")
    first = describe(secrets, made.id, "first")
    describe(secrets, made.id, "second")
    assert secrets.get(made.id, stale=True) == first == secrets.named("v", "db", stale=True)


def test_a_stale_list_lacks_the_last_write(secrets: Secrets) -> None:
    """In a stale list only the secret written last is one write behind; one just created is not in it."""
    one, two = create(secrets, name="one"), create(secrets, name="two")
    assert list(secrets.all(stale=True)) == [one]
    changed = describe(secrets, one.id, "new")
    assert list(secrets.all(stale=True)) == [one, two]
    assert list(secrets.all()) == [changed, two]


def test_nothing_is_stale_after_a_restart(secrets: Secrets, documents: MemoryDocuments, clock: SetClock) -> None:
    """What was written by an earlier process is seen by every read."""
    made = create(secrets)
    assert Secrets(documents, clock).get(made.id, stale=True) == made
