"""The rules of OCI Vault's secrets as a pure state machine: one row for each line of the documented tables."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from keepstep_localcloud.vault import changes
from keepstep_localcloud.vault.changes import Moment
from keepstep_localcloud.vault.details import (
    ChangeCompartmentDetails,
    CreateSecretDetails,
    ScheduleDeletionDetails,
    UpdateSecretDetails,
    parsed,
)
from keepstep_localcloud.vault.model import Secret
from keepstep_localcloud.vault.retrieval import selected
from keepstep_localcloud.wire import ServiceError

START = datetime(2026, 1, 1, tzinfo=UTC)
REUSE = {"ruleType": "SECRET_REUSE_RULE"}
REUSE_EVER = REUSE | {"isEnforcedOnDeletedSecretVersions": True}
EXPIRY = {"ruleType": "SECRET_EXPIRY_RULE", "secretVersionExpiryInterval": "P2D"}
ROTATION = {"targetSystemDetails": {"targetSystemType": "FUNCTION", "functionId": "ocid1.fnfunc.oc1..a"}}


def body(text: str, **fields: str) -> dict[str, str]:
    return {"contentType": "BASE64", "content": base64.b64encode(text.encode()).decode(), **fields}


class Timeline:
    """One secret and the time; the secret is replaced only by a change that was allowed."""

    def __init__(self, **details: Any) -> None:
        self.now = START
        self.settle = timedelta(0)
        created = {
            "compartmentId": "c",
            "vaultId": "v",
            "keyId": "k",
            "secretName": "db",
            "secretContent": body("one"),
        }
        self.secret = changes.create("id", self.moment(), parsed(CreateSecretDetails, created | details))

    def moment(self) -> Moment:
        return Moment(self.now, self.now + self.settle)

    def change(self, change: Callable[..., Secret], **arguments: Any) -> None:
        self.secret = change(self.secret.at(self.now), self.moment(), **arguments)

    def stages(self) -> dict[int, str]:
        return {version.number: " ".join(self.secret.stages(version.number)) for version in self.secret.versions}


Step = Callable[[Timeline], None]


def update(**document: Any) -> Step:
    return lambda t: t.change(changes.update, details=parsed(UpdateSecretDetails, document))


def content(text: str, **fields: str) -> Step:
    return update(secretContent=body(text, **fields))


def pending(text: str) -> Step:
    return content(text, stage="PENDING")


def current(number: int) -> Step:
    return update(currentVersionNumber=number)


def _schedule(t: Timeline, days: float | None) -> ScheduleDeletionDetails:
    return ScheduleDeletionDetails(time_of_deletion=None if days is None else t.now + timedelta(days=days))


def delete(number: int, days: float | None = 2) -> Step:
    return lambda t: t.change(changes.schedule_version_deletion, number=number, details=_schedule(t, days))


def restore(number: int) -> Step:
    return lambda t: t.change(changes.cancel_version_deletion, number=number)


def delete_secret(days: float | None = 2) -> Step:
    return lambda t: t.change(changes.schedule_deletion, details=_schedule(t, days))


def restore_secret(t: Timeline) -> None:
    t.change(changes.cancel_deletion)


def move(t: Timeline) -> None:
    t.change(changes.change_compartment, details=ChangeCompartmentDetails(compartment_id="other"))


def rotate(t: Timeline) -> None:
    t.change(changes.rotate)


def cancel_rotation(t: Timeline) -> None:
    t.change(changes.cancel_rotation)


def wait(days: float) -> Step:
    def step(t: Timeline) -> None:
        t.now += timedelta(days=days)
        t.secret = t.secret.at(t.now)

    return step


def settling(t: Timeline) -> None:
    t.settle = timedelta(days=1)


def many(step: Callable[[int], Step], count: int) -> list[Step]:
    return [step(number) for number in range(count)]


def numbered(number: int) -> Step:
    return content(f"content {number}")


STAGES = [
    ("the first is CURRENT and LATEST", [], {1: "CURRENT LATEST"}),
    ("new content is CURRENT", [content("b")], {1: "PREVIOUS", 2: "CURRENT LATEST"}),
    (
        "the older PREVIOUS is DEPRECATED",
        [content("b"), content("c")],
        {1: "DEPRECATED", 2: "PREVIOUS", 3: "CURRENT LATEST"},
    ),
    ("PENDING leaves CURRENT alone", [pending("b")], {1: "CURRENT", 2: "PENDING LATEST"}),
    (
        "a newer PENDING deprecates the older",
        [pending("b"), pending("c")],
        {1: "CURRENT", 2: "DEPRECATED", 3: "PENDING LATEST"},
    ),
    (
        "new CURRENT content leaves PENDING",
        [pending("b"), content("c")],
        {1: "PREVIOUS", 2: "PENDING", 3: "CURRENT LATEST"},
    ),
    ("promotion of PENDING", [pending("b"), current(2)], {1: "PREVIOUS", 2: "CURRENT LATEST"}),
    ("roll back to PREVIOUS", [content("b"), current(1)], {1: "CURRENT", 2: "PREVIOUS LATEST"}),
    (
        "roll back to DEPRECATED",
        [content("b"), content("c"), current(1)],
        {1: "CURRENT", 2: "DEPRECATED", 3: "PREVIOUS LATEST"},
    ),
    (
        "roll back leaves PENDING",
        [content("b"), pending("c"), current(1)],
        {1: "CURRENT", 2: "PREVIOUS", 3: "PENDING LATEST"},
    ),
    (
        "LATEST stays with the newest",
        [content("b"), content("c"), current(1), current(2)],
        {1: "PREVIOUS", 2: "CURRENT", 3: "DEPRECATED LATEST"},
    ),
    ("CURRENT again is no change", [content("b"), current(2)], {1: "PREVIOUS", 2: "CURRENT LATEST"}),
    (
        "pending deletion stays DEPRECATED",
        [content("b"), content("c"), delete(1)],
        {1: "DEPRECATED", 2: "PREVIOUS", 3: "CURRENT LATEST"},
    ),
    (
        "its time removes a version",
        [content("b"), content("c"), delete(1, 2), wait(2)],
        {2: "PREVIOUS", 3: "CURRENT LATEST"},
    ),
    (
        "a cancelled deletion does not",
        [content("b"), content("c"), delete(1, 2), restore(1), wait(2)],
        {1: "DEPRECATED", 2: "PREVIOUS", 3: "CURRENT LATEST"},
    ),
    (
        "a number is never given twice",
        [content("b"), content("c"), current(1), current(2), delete(3), wait(2), content("d")],
        {1: "DEPRECATED", 2: "PREVIOUS", 4: "CURRENT LATEST"},
    ),
    ("the default is 30 days", [content("b"), content("c"), delete(1, None), wait(29)], 3),
    ("and not longer", [content("b"), content("c"), delete(1, None), wait(30)], 2),
]


@pytest.mark.parametrize(("steps", "expected"), [row[1:] for row in STAGES], ids=[row[0] for row in STAGES])
def test_stages(steps: list[Step], expected: dict[int, str] | int) -> None:
    """Every change leaves the stages where the table of the module says."""
    timeline = Timeline()
    for step in steps:
        step(timeline)
    assert (timeline.stages() if isinstance(expected, dict) else len(timeline.secret.versions)) == expected


THREE = [content("b"), content("c")]
TOO_MANY: list[Step] = [
    *many(numbered, 29),
    *[delete(number, 30) for number in range(1, 29)],
    *many(lambda n: numbered(n + 29), 28),
    *[delete(number, 30) for number in range(29, 31)],
    *many(lambda n: numbered(n + 57), 2),
]
"""30 versions in use (31 to 60) and 30 pending deletion (1 to 30)."""

REFUSED = [
    ("31st version in use", many(numbered, 29), content("b"), 400, "LimitExceeded", "30 versions are in use"),
    ("31st pending deletion", TOO_MANY, delete(31), 400, "LimitExceeded", "30 versions are pending deletion"),
    ("restored into a full secret", TOO_MANY, restore(1), 400, "LimitExceeded", "30 versions are in use"),
    (
        "name in use",
        [content("b", name="n")],
        content("c", name="n"),
        400,
        "InvalidParameter",
        "name already exists",
    ),
    ("name with a space", [], content("b", name="a b"), 400, "InvalidParameter", "secretContent.name"),
    (
        "not base64",
        [],
        update(secretContent=body("") | {"content": "%%"}),
        400,
        "InvalidParameter",
        "invalid format",
    ),
    ("empty content", [], content(""), 400, "InvalidParameter", "between 1 and"),
    ("more than 25 KiB", [], content("x" * 25601), 400, "InvalidParameter", "between 1 and 25600 bytes"),
    ("unknown stage", [], content("b", stage="LATEST"), 400, "InvalidParameter", "secretContent.stage"),
    (
        "content and number",
        [],
        update(secretContent=body("b"), currentVersionNumber=1),
        400,
        "InvalidParameter",
        "exclude each other",
    ),
    (
        "number and rules",
        [],
        update(currentVersionNumber=1, secretRules=[REUSE]),
        400,
        "InvalidParameter",
        "exclude each other",
    ),
    (
        "content and rules",
        [],
        update(secretContent=body("b"), secretRules=[]),
        400,
        "InvalidParameter",
        "exclude each other",
    ),
    (
        "content and replication",
        [],
        update(secretContent=body("b"), replicationConfig={"replicationTargets": []}),
        400,
        "InvalidParameter",
        "exclude each other",
    ),
    ("two rules of a type", [], update(secretRules=[REUSE, REUSE]), 400, "InvalidParameter", "one rule of each"),
    ("unknown rule", [], update(secretRules=[{"ruleType": "X"}]), 400, "InvalidParameter", "secretRules"),
    (
        "expiry of 91 days",
        [],
        update(secretRules=[EXPIRY | {"secretVersionExpiryInterval": "P91D"}]),
        400,
        "InvalidParameter",
        "secretVersionExpiryInterval",
    ),
    (
        "absolute expiry today",
        [],
        update(secretRules=[EXPIRY | {"timeOfAbsoluteExpiry": "2026-01-01T12:00:00Z"}]),
        400,
        "InvalidParameter",
        "between 1 and 365 days",
    ),
    ("no such version", [], current(2), 400, "InvalidParameter", "there is no version 2"),
    ("promotion of a deleted one", [*THREE, delete(1)], current(1), 409, "IncorrectState", "pending deletion"),
    ("deletion of CURRENT", THREE, delete(3), 409, "IncorrectState", "not DEPRECATED"),
    ("deletion of PREVIOUS", THREE, delete(2), 409, "IncorrectState", "not DEPRECATED"),
    ("deletion of PENDING", [*THREE, pending("d")], delete(4), 409, "IncorrectState", "not DEPRECATED"),
    ("deletion twice", [*THREE, delete(1)], delete(1), 409, "IncorrectState", "already"),
    ("deletion of none", THREE, delete(9), 404, "NotAuthorizedOrNotFound", "not found"),
    ("deletion within a day", THREE, delete(1, 0.9), 400, "InvalidParameter", "between 1 and 30 days"),
    ("deletion after 30 days", THREE, delete(1, 30.1), 400, "InvalidParameter", "between 1 and 30 days"),
    ("restoring what is not deleted", THREE, restore(1), 409, "IncorrectState", "not pending deletion"),
    ("secret deleted within a day", [], delete_secret(0.9), 400, "InvalidParameter", "between 1 and 30 days"),
    ("restoring an ACTIVE secret", [], restore_secret, 409, "IncorrectState", "ACTIVE"),
    ("update while pending deletion", [delete_secret()], content("b"), 409, "IncorrectState", "PENDING_DELETION"),
    ("move while pending deletion", [delete_secret()], move, 409, "IncorrectState", "PENDING_DELETION"),
    ("update after deletion", [delete_secret(), wait(2)], content("b"), 409, "IncorrectState", "DELETED"),
    ("restoring too late", [delete_secret(), wait(2)], restore_secret, 409, "IncorrectState", "DELETED"),
    ("update while UPDATING", [settling, content("b")], content("c"), 409, "IncorrectState", "UPDATING"),
    (
        "update while it is scheduled",
        [settling, delete_secret()],
        content("b"),
        409,
        "IncorrectState",
        "SCHEDULING_DELETION",
    ),
    (
        "update while it is cancelled",
        [delete_secret(), settling, restore_secret],
        content("b"),
        409,
        "IncorrectState",
        "CANCELLING_DELETION",
    ),
    ("reuse", [update(secretRules=[REUSE])], content("one"), 400, "InvalidParameter", "was used before"),
    (
        "reuse of deleted content",
        [update(secretRules=[REUSE_EVER]), *THREE, delete(1), wait(2)],
        content("one"),
        400,
        "InvalidParameter",
        "was used before",
    ),
    (
        "reuse of content deleted long ago",
        [update(secretRules=[REUSE_EVER]), *THREE, content("d"), delete(1), wait(2), delete(2), wait(2)],
        content("one"),
        400,
        "InvalidParameter",
        "was used before",
    ),
    ("rotation without a target", [], rotate, 400, "InvalidParameter", "rotationConfig"),
    (
        "no rotation to cancel",
        [update(rotationConfig=ROTATION)],
        cancel_rotation,
        409,
        "IncorrectState",
        "progress",
    ),
    (
        "schedule without interval",
        [],
        update(rotationConfig=ROTATION | {"isScheduledRotationEnabled": True}),
        400,
        "InvalidParameter",
        "rotationInterval",
    ),
]


@pytest.mark.parametrize(
    ("steps", "refused", "status", "code", "message"),
    [row[1:] for row in REFUSED],
    ids=[row[0] for row in REFUSED],
)
def test_refusals(steps: list[Step], refused: Step, status: int, code: str, message: str) -> None:
    """What OCI refuses is refused with its status and code, and changes nothing."""
    timeline = Timeline()
    for step in steps:
        step(timeline)
    before = timeline.secret
    with pytest.raises(ServiceError, match=message) as raised:
        refused(timeline)
    assert (raised.value.status, raised.value.code) == (status, code)
    assert timeline.secret is before


ALLOWED: list[tuple[str, list[Step]]] = [
    ("30 in use and 30 pending deletion", TOO_MANY),
    ("content of 25 KiB", [content("x" * 25600)]),
    ("the same content without a rule", [content("one")]),
    ("content of a deleted version", [update(secretRules=[REUSE]), *THREE, delete(1), wait(2), content("one")]),
    ("rules taken away again", [update(secretRules=[REUSE]), update(secretRules=[]), content("one")]),
    ("deletion in exactly a day", [*THREE, delete(1, 1)]),
    ("deletion in exactly 30 days", [*THREE, delete(1, 30)]),
    ("a name of a deleted version", [content("b", name="n"), *THREE, delete(2), wait(2), content("d", name="n")]),
    ("update once it has settled", [settling, content("b"), wait(1), content("c")]),
    ("update of a restored secret", [delete_secret(), restore_secret, content("b")]),
    ("rotation and its end", [update(rotationConfig=ROTATION), rotate, cancel_rotation]),
]


@pytest.mark.parametrize("steps", [row[1] for row in ALLOWED], ids=[row[0] for row in ALLOWED])
def test_allowed(steps: list[Step]) -> None:
    """What is just within a rule is done, and every step of it changes the etag."""
    timeline = Timeline()
    etags = [timeline.secret.etag(timeline.now)]
    for step in steps:
        step(timeline)
        if step is not settling:
            etags.append(timeline.secret.etag(timeline.now))
    assert len(set(etags)) == len(etags)


LIFECYCLE = [
    ("created", [], "ACTIVE", "ACTIVE"),
    ("updated", [settling, content("b")], "UPDATING", "ACTIVE"),
    ("moved", [settling, move], "UPDATING", "ACTIVE"),
    ("scheduled", [settling, delete_secret()], "SCHEDULING_DELETION", "PENDING_DELETION"),
    ("cancelled", [delete_secret(), settling, restore_secret], "CANCELLING_DELETION", "ACTIVE"),
    ("deleted", [delete_secret(2), wait(2)], "DELETED", "DELETED"),
]


@pytest.mark.parametrize(
    ("steps", "at_once", "settled"), [row[1:] for row in LIFECYCLE], ids=[row[0] for row in LIFECYCLE]
)
def test_lifecycle(steps: list[Step], at_once: str, settled: str) -> None:
    """A change shows its transient state until it has settled, and settling changes the etag too."""
    timeline = Timeline()
    for step in steps:
        step(timeline)
    later = timeline.now + timeline.settle
    assert timeline.secret.lifecycle_state(timeline.now) == at_once
    assert timeline.secret.lifecycle_state(later) == settled
    assert (timeline.secret.etag(timeline.now) != timeline.secret.etag(later)) == (at_once != settled)


def test_a_deleted_secret_keeps_no_content() -> None:
    """When its time has come, neither contents nor their digests are left in the document."""
    timeline = Timeline()
    for step in (*THREE, delete(1), wait(2), delete_secret(2), wait(2)):
        step(timeline)
    assert (timeline.secret.versions, timeline.secret.spent) == ((), frozenset())


EXPIRIES = [
    ("no rule", [], None),
    ("an interval counts from the version", [EXPIRY], timedelta(days=2)),
    (
        "absolute",
        [{"ruleType": "SECRET_EXPIRY_RULE", "timeOfAbsoluteExpiry": START + timedelta(days=3)}],
        timedelta(days=3),
    ),
    ("the earlier one", [EXPIRY | {"timeOfAbsoluteExpiry": START + timedelta(days=1)}], timedelta(days=1)),
]


@pytest.mark.parametrize(("rules", "after"), [row[1:] for row in EXPIRIES], ids=[row[0] for row in EXPIRIES])
def test_expiry(rules: list[dict[str, Any]], after: timedelta | None) -> None:
    """A version expires after the rule's interval or at its absolute time, whichever comes first."""
    secret = Timeline(secretRules=rules).secret
    assert secret.expiry(secret.version(1)) == (START + after if after is not None else None)


SELECTED = [
    ({}, 5),
    ({"stage": "CURRENT"}, 5),
    ({"stage": "PENDING"}, 6),
    ({"stage": "LATEST"}, 6),
    ({"stage": "PREVIOUS"}, 4),
    ({"stage": "DEPRECATED"}, 2),
    ({"versionNumber": "1"}, 1),
    ({"versionNumber": "3"}, 404),
    ({"versionNumber": "9"}, 404),
    ({"versionNumber": "x"}, 404),
    ({"secretVersionName": "n"}, 4),
    ({"secretVersionName": "m"}, 404),
    ({"stage": "NEXT"}, 400),
    ({"stage": "CURRENT", "versionNumber": "1"}, 400),
]


@pytest.mark.parametrize(("query", "expected"), SELECTED)
def test_selection(query: dict[str, str], expected: int) -> None:
    """A bundle is chosen by number, name or stage, CURRENT by default; a version pending deletion cannot be had."""
    timeline = Timeline()
    steps = (*THREE, content("d", name="n"), content("e"), pending("f"), delete(3))
    for step in steps:
        step(timeline)
    try:
        found = selected(timeline.secret, query).number
    except ServiceError as error:
        found = error.status
    assert found == expected


def test_contents_are_not_in_representations() -> None:
    """Neither a secret's ``repr`` nor the error about a body shows what the secret is."""
    assert body("one")["content"] not in repr(Timeline().secret)
    with pytest.raises(ServiceError) as raised:
        content("hunter2!", stage="X")(Timeline())
    assert body("hunter2!")["content"] not in f"{raised.value} {raised.value.__cause__!r}"
