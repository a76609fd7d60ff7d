"""The version rules as a pure model: what time does to it, and what holds after any series of changes."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from keepstep_localcloud.secretsmanager.model import MAX_VERSIONS, Secret, SecretsError, Version
from keepstep_localcloud.secretsmanager.service import SecretsManager

START = datetime(2026, 1, 1, tzinfo=UTC)


class ManualClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


class Service:
    """A Secrets Manager whose time is set by hand."""

    def __init__(self, path: Path | None = None) -> None:
        self.clock = ManualClock()
        self.manager = SecretsManager(path, self.clock)

    def __call__(self, operation: str, **parameters: Any) -> dict[str, Any]:
        response = self.manager.answer(operation, "us-east-1", json.dumps(parameters).encode())
        answer: dict[str, Any] = json.loads(response.body)
        if response.status != 200:
            raise SecretsError(answer["__type"], answer["Message"])
        return answer

    def put(self, number: int) -> None:
        self("PutSecretValue", SecretId="s", ClientRequestToken=f"{number:032}", SecretString=str(number))


def test_a_hundred_versions_are_kept() -> None:
    """The 101st version takes the place of the oldest deprecated one that is a day old; none is left out sooner."""
    service = Service()
    service("CreateSecret", Name="s")
    for number in range(MAX_VERSIONS):
        service.put(number)
        service.clock.time += timedelta(hours=1)
    service.put(100)
    listed = service("ListSecretVersionIds", SecretId="s", IncludeDeprecated=True)["Versions"]
    assert [int(version["VersionId"]) for version in listed] == list(range(1, 101))


def test_too_many_versions_a_day_are_refused() -> None:
    """100 versions of less than a day: LimitExceededException, and nothing changes; a day later it works."""
    service = Service()
    service("CreateSecret", Name="s")
    for number in range(MAX_VERSIONS):
        service.put(number)
    with pytest.raises(SecretsError) as refusal:
        service.put(100)
    assert refusal.value.code == "LimitExceededException"
    assert service("GetSecretValue", SecretId="s")["SecretString"] == "99"
    service.clock.time += timedelta(days=1)
    service.put(100)
    assert service("GetSecretValue", SecretId="s")["SecretString"] == "100"


def test_labelled_versions_are_never_left_out() -> None:
    """However old, a version with a label stays."""
    service = Service()
    service("CreateSecret", Name="s")
    service.put(0)
    oldest = f"{0:032}"
    service("UpdateSecretVersionStage", SecretId="s", VersionStage="KEEP", MoveToVersionId=oldest)
    for number in range(1, 150):
        service.clock.time += timedelta(hours=1)
        service.put(number)
    assert service("GetSecretValue", SecretId="s", VersionStage="KEEP")["SecretString"] == "0"


def test_the_recovery_window_ends(tmp_path: Path) -> None:
    """After the window the secret is gone, also from the file, and its name is free."""
    service = Service(tmp_path / "secrets.db")
    service("CreateSecret", Name="s", SecretString="one")
    service("DeleteSecret", SecretId="s", RecoveryWindowInDays=7)
    service.clock.time += timedelta(days=7, seconds=-1)
    service("DescribeSecret", SecretId="s")
    service.clock.time += timedelta(seconds=1)
    with pytest.raises(SecretsError) as gone:
        service("DescribeSecret", SecretId="s")
    assert gone.value.code == "ResourceNotFoundException"
    service.manager.close()
    again = Service(tmp_path / "secrets.db")
    assert again("ListSecrets", IncludePlannedDeletion=True)["SecretList"] == []


def test_days_of_access_have_no_hour() -> None:
    """LastAccessedDate is a day (API reference), and reading is no change."""
    service = Service()
    service("CreateSecret", Name="s", SecretString="one")
    service.clock.time += timedelta(days=2, hours=5)
    service("GetSecretValue", SecretId="s")
    described = service("DescribeSecret", SecretId="s")
    assert datetime.fromtimestamp(described["LastAccessedDate"], UTC) == START + timedelta(days=2)
    assert datetime.fromtimestamp(described["LastChangedDate"], UTC) == START


def test_files_are_their_owners(tmp_path: Path) -> None:
    """What holds secrets on disk has mode 0600, the write-ahead log too."""
    service = Service(tmp_path / "new" / "secrets.db")
    service("CreateSecret", Name="s", SecretString="one")
    files = list((tmp_path / "new").iterdir())
    assert len(files) >= 2
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_unknown_calls_and_bodies() -> None:
    """An operation that does not exist, and a body that is not JSON, are refused as AWS does it."""
    service = Service()
    with pytest.raises(SecretsError) as refusal:
        service("MakeCoffee")
    assert refusal.value.code == "UnknownOperationException"
    response = service.manager.answer("ListSecrets", "us-east-1", b"{")
    assert (response.status, json.loads(response.body)["__type"]) == (400, "SerializationException")


TOKENS = st.integers(0, 9).map(lambda number: f"{number:032}")
LABELS = st.sampled_from(["AWSCURRENT", "AWSPENDING", "AWSPREVIOUS", "OWN"])


class Labels(RuleBasedStateMachine):
    """Any puts and moves."""

    def __init__(self) -> None:
        super().__init__()
        self.secret = Secret(arn="arn", name="s", created=START, changed=START)
        self.values: dict[str, str] = {}

    @rule(token=TOKENS, text=st.sampled_from("ab"), labels=st.lists(LABELS, min_size=1, max_size=3, unique=True))
    def put(self, token: str, text: str, labels: list[str]) -> None:
        before = self.secret.labelled("AWSCURRENT")
        is_new = token not in self.values
        try:
            self.secret.put(Version(id=token, created=START, string=text), labels)
        except SecretsError as error:
            assert error.code == "ResourceExistsException"
            assert self.values[token] != text
            return
        self.values.setdefault(token, text)
        if is_new and "AWSCURRENT" in labels and "AWSPREVIOUS" not in labels and before:
            assert self.secret.labelled("AWSPREVIOUS") is before

    @rule(label=LABELS, source=st.none() | TOKENS, destination=st.none() | TOKENS)
    def move(self, label: str, source: str | None, destination: str | None) -> None:
        before, copy = self.secret.labelled(label), self.secret.model_copy(deep=True)
        try:
            self.secret.move(label, source, destination)
        except SecretsError as error:
            assert error.code == "InvalidParameterException"
            assert self.secret == copy
            return
        assert source == (before.id if before else None) or (before is not None and destination == before.id)
        after = self.secret.labelled(label)
        assert (after.id if after else None) == destination

    @invariant()
    def labels_are_on_one_version(self) -> None:
        labels = [label for version in self.secret.versions.values() for label in version.labels]
        assert len(labels) == len(set(labels))

    @invariant()
    def one_version_is_current(self) -> None:
        assert bool(self.secret.versions) == bool(self.secret.labelled("AWSCURRENT"))

    @invariant()
    def versions_never_change(self) -> None:
        assert {version.id: version.string for version in self.secret.versions.values()} == self.values


TestLabels = Labels.TestCase
Labels.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None, derandomize=True)
