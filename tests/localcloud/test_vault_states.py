"""Invariants of a secret under any sequence of changes, allowed and refused, while time passes."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from keepstep_localcloud.vault import changes
from keepstep_localcloud.vault.changes import MAX_IN_USE, MAX_PENDING_DELETION, Moment
from keepstep_localcloud.vault.details import (
    CreateSecretDetails,
    ScheduleDeletionDetails,
    SecretContent,
    UpdateSecretDetails,
)
from keepstep_localcloud.vault.model import Secret
from keepstep_localcloud.wire import ServiceError

CONTENTS = st.integers(0, 40).map(lambda n: base64.b64encode(b"%d" % n).decode())
NUMBERS = st.integers(1, 90)
DAYS = st.integers(1, 30).map(lambda days: timedelta(days=days))


class SecretMachine(RuleBasedStateMachine):
    """Does to one secret whatever the API offers; ``given`` has every number ever seen and its content."""

    @initialize(content=CONTENTS, versions=st.sampled_from([1, 2, 28, 30]), settle=st.sampled_from([0, 1]))
    def create(self, content: str, versions: int, settle: int) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)
        self.settle = timedelta(minutes=settle)
        self.etags: set[str] = set()
        self.given: dict[int, str] = {}
        first = SecretContent(content_type="BASE64", content=content)
        details = CreateSecretDetails(
            compartment_id="c", vault_id="v", key_id="k", secret_name="n", secret_content=first
        )
        self.secret = changes.create("id", self.moment(), details)
        self.notice()
        for number in range(1, versions):
            self.tick()
            self.upload(base64.b64encode(b"first %d" % number).decode(), None, None)

    @rule(
        content=CONTENTS,
        stage=st.sampled_from([None, "CURRENT", "PENDING"]),
        name=st.sampled_from("abc") | st.none(),
    )
    def upload(self, content: str, stage: Any, name: str | None) -> None:
        new = SecretContent(content_type="BASE64", content=content, stage=stage, name=name)
        self.change(changes.update, details=UpdateSecretDetails(secret_content=new))

    @rule(number=NUMBERS)
    def promote(self, number: int) -> None:
        self.change(changes.update, details=UpdateSecretDetails(current_version_number=number))

    @rule(number=NUMBERS, ahead=DAYS)
    def delete(self, number: int, ahead: timedelta) -> None:
        details = ScheduleDeletionDetails(time_of_deletion=self.now + ahead)
        self.change(changes.schedule_version_deletion, number=number, details=details)

    @rule(ahead=DAYS)
    def delete_all(self, ahead: timedelta) -> None:
        for number in list(self.given):
            self.tick()
            self.delete(number, ahead)

    @rule(number=NUMBERS)
    def restore(self, number: int) -> None:
        self.change(changes.cancel_version_deletion, number=number)

    @rule(ahead=DAYS)
    def delete_secret(self, ahead: timedelta) -> None:
        details = ScheduleDeletionDetails(time_of_deletion=self.now + ahead)
        self.change(changes.schedule_deletion, details=details)

    @rule()
    def restore_secret(self) -> None:
        self.change(changes.cancel_deletion)

    @rule()
    def tick(self) -> None:
        self.wait(timedelta(minutes=1))

    @rule(time=DAYS)
    def wait(self, time: timedelta) -> None:
        self.now += time
        aged = self.secret.at(self.now)
        if aged is not self.secret:
            self.secret = aged
            self.notice()

    @invariant()
    def one_current(self) -> None:
        """A live secret has exactly one CURRENT, and no two versions share a stage."""
        stages = Counter(stage for v in self.secret.versions for stage in self.secret.stages(v.number))
        assert stages["CURRENT"] == (self.secret.state != "DELETED")
        assert max(stages["PENDING"], stages["PREVIOUS"], stages["LATEST"]) <= 1

    @invariant()
    def within_quota(self) -> None:
        """Never more than 30 versions in use and 30 pending deletion, and only DEPRECATED ones are."""
        deleting = [version.number for version in self.secret.versions if version.deletion]
        assert len(deleting) <= MAX_PENDING_DELETION
        assert len(self.secret.versions) - len(deleting) <= MAX_IN_USE
        assert all("DEPRECATED" in self.secret.stages(number) for number in deleting)

    @invariant()
    def numbers_rise(self) -> None:
        """Versions stand by rising number, none above the number given last, and names are unique."""
        numbers = [version.number for version in self.secret.versions]
        names = [version.name for version in self.secret.versions if version.name]
        assert numbers == sorted(set(numbers))
        assert self.secret.latest == max(self.given)
        assert len(names) == len(set(names))

    @invariant()
    def is_its_own_document(self) -> None:
        """What is written is read back the same."""
        document = self.secret.model_dump_json(by_alias=True, exclude_none=True)
        assert Secret.model_validate_json(document) == self.secret

    def change(self, change: Callable[..., Secret], **arguments: Any) -> None:
        try:
            self.secret = change(self.secret, self.moment(), **arguments)
        except ServiceError as error:
            assert error.status in (400, 404, 409)
        else:
            self.notice()

    def moment(self) -> Moment:
        return Moment(self.now, self.now + self.settle)

    def notice(self) -> None:
        """A change gives an etag never seen before; a number's content never changes."""
        etag = self.secret.etag(self.now)
        assert etag not in self.etags
        self.etags.add(etag)
        for version in self.secret.versions:
            assert self.given.setdefault(version.number, version.content) == version.content


TestSecret = SecretMachine.TestCase
TestSecret.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
