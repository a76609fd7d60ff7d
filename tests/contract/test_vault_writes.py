"""The contract of the vaults that a rotation writes to, as vaults/staging.py promises it.

Labels are compared in memory and in a Secrets Manager that keeps AWS's documented rules; revisions in memory and in
the local OCI Vault.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

import pytest

from keepstep.cli.running import run
from keepstep.clouds.oci import OciIdentity
from keepstep.errors import Conflict, Denied, Refused, Transient
from keepstep.secret import Secret
from keepstep.testing.staging import MemoryLabels, MemoryRevisions
from keepstep.vaults.aws_staging import SecretsManagerStages
from keepstep.vaults.interface import Stage, Vault, VersionId
from keepstep.vaults.oci_staging import OciVaultStages
from keepstep.vaults.staging import LabelledVault, RevisedVault, SecretState
from keepstep_localcloud.server import LocalCloud
from tests.contract.vault_backends import AwsSide, OciWriter
from tests.contract.vault_backends import _aws_side as _aws_side
from tests.contract.vault_backends import _vault_cloud as _vault_cloud
from tests.servers import Aws

V = TypeVar("V", bound=Vault)
T = TypeVar("T")

PENDING, CURRENT = "AWSPENDING", "AWSCURRENT"


@dataclass
class StoreBackend(Generic[V]):
    """A vault with one secret whose only version holds ``first``."""

    make: Callable[[], V]
    name: str
    server: Any = None

    def ask(self, work: Callable[[V], Awaitable[T]]) -> T:
        async def main() -> T:
            vault = self.make()
            try:
                return await work(vault)
            finally:
                await vault.close()

        return run(main())

    def content(self, which: Stage | VersionId) -> bytes:
        async def read(vault: V) -> bytes:
            return (await vault.get(self.name, which)).content.reveal_bytes()

        return self.ask(read)


Labels = StoreBackend[LabelledVault]
Revisions = StoreBackend[RevisedVault]


@pytest.fixture(params=["memory", "aws-sm"])
def labels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Labels:
    if request.param == "memory":
        memory = MemoryLabels()
        memory.create("secret", b"first")
        return StoreBackend(lambda: memory, "secret")
    return _aws(request, monkeypatch)


@pytest.fixture
def aws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Labels:
    return _aws(request, monkeypatch)


def _aws(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Labels:
    server: Aws = request.getfixturevalue("moto")
    side: AwsSide = request.getfixturevalue("_aws_side")
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    return StoreBackend(lambda: SecretsManagerStages(side.identity), side.secrets.create(b"first"), server)


@pytest.fixture(params=["memory", "oci-vault"])
def revisions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Revisions]:
    if request.param == "memory":
        memory = MemoryRevisions()
        memory.put("secret", b"first")
        yield StoreBackend(lambda: memory, "secret")
    else:
        yield from _oci(request, monkeypatch)


@pytest.fixture
def oci(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Revisions]:
    yield from _oci(request, monkeypatch)


def _oci(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Revisions]:
    cloud: LocalCloud = request.getfixturevalue("_vault_cloud")
    for name, value in cloud.env.items():
        monkeypatch.setenv(name, value)
    writer = OciWriter(cloud)
    yield StoreBackend(lambda: OciVaultStages(OciIdentity()), writer.create(b"first"), (cloud, writer))
    cloud.clear_faults()


def token() -> str:
    return str(uuid.uuid4())


def stands(state: SecretState, stage: Stage) -> VersionId | None:
    return state.stages.get(stage)


def test_a_staged_version_is_pending_and_nothing_else_moves(labels: Labels) -> None:
    """A version put on AWSPENDING has the id that was asked for, and AWSCURRENT stays where it was."""
    before = labels.ask(lambda vault: vault.describe(labels.name))
    new = token()
    assert labels.ask(lambda vault: vault.put(labels.name, new, Secret("second"), PENDING))
    state = labels.ask(lambda vault: vault.describe(labels.name))
    assert stands(state, Stage.PENDING) == new
    assert stands(state, Stage.CURRENT) == stands(before, Stage.CURRENT)
    assert labels.content(Stage.PENDING) == b"second"
    assert labels.content(Stage.CURRENT) == b"first"


def test_a_token_with_other_content_is_a_conflict(labels: Labels) -> None:
    """The same id with other content is refused: of two workers with one token, one wins."""
    new = token()
    labels.ask(lambda vault: vault.put(labels.name, new, Secret("mine"), PENDING))
    with pytest.raises(Conflict) as refusal:
        labels.ask(lambda vault: vault.put(labels.name, new, Secret("yours"), PENDING))
    assert "yours" not in str(refusal.value)
    assert labels.content(Stage.PENDING) == b"mine"


def test_putting_the_same_again_changes_nothing(labels: Labels) -> None:
    """The same id with the same content is not an error; a label that was taken off does not come back by it."""
    new = VersionId(token())
    labels.ask(lambda vault: vault.put(labels.name, new, Secret("second"), PENDING))
    assert labels.ask(lambda vault: vault.put(labels.name, new, Secret("second"), PENDING))
    labels.ask(lambda vault: vault.move(labels.name, PENDING, to=None, away_from=new))
    assert not labels.ask(lambda vault: vault.put(labels.name, new, Secret("second"), PENDING))
    assert stands(labels.ask(lambda vault: vault.describe(labels.name)), Stage.PENDING) is None


def test_promotion_moves_current_and_previous(labels: Labels) -> None:
    """AWSCURRENT moves to the pending version, and AWSPREVIOUS to what was current."""
    old = stands(labels.ask(lambda vault: vault.describe(labels.name)), Stage.CURRENT)
    new = VersionId(token())
    labels.ask(lambda vault: vault.put(labels.name, new, Secret("second"), PENDING))
    labels.ask(lambda vault: vault.move(labels.name, CURRENT, to=new, away_from=old))
    state = labels.ask(lambda vault: vault.describe(labels.name))
    assert (stands(state, Stage.CURRENT), stands(state, Stage.PREVIOUS)) == (new, old)
    assert labels.content(Stage.CURRENT) == b"second"


@pytest.mark.parametrize("label", [PENDING, CURRENT])
def test_a_label_that_is_elsewhere_does_not_move(labels: Labels, label: str) -> None:
    """A label moves only away from the version that has it; else it is a conflict and nothing moves."""
    first, second = VersionId(token()), VersionId(token())
    for version in (first, second):
        labels.ask(lambda vault, v=version: vault.put(labels.name, v, Secret(v), PENDING))  # type: ignore[misc]
    before = labels.ask(lambda vault: vault.describe(labels.name))
    for away_from in (first, None):
        with pytest.raises(Conflict):
            labels.ask(lambda vault, a=away_from: vault.move(labels.name, label, to=first, away_from=a))  # type: ignore[misc]
    assert labels.ask(lambda vault: vault.describe(labels.name)).stages == before.stages


def test_moving_a_label_twice_is_a_conflict(labels: Labels) -> None:
    """A move that was done already is a conflict, and changes nothing: whoever lost the answer looks again."""
    old = stands(labels.ask(lambda vault: vault.describe(labels.name)), Stage.CURRENT)
    new = VersionId(token())
    labels.ask(lambda vault: vault.put(labels.name, new, Secret("second"), PENDING))
    labels.ask(lambda vault: vault.move(labels.name, CURRENT, to=new, away_from=old))
    with pytest.raises(Conflict):
        labels.ask(lambda vault: vault.move(labels.name, CURRENT, to=new, away_from=old))
    assert stands(labels.ask(lambda vault: vault.describe(labels.name)), Stage.CURRENT) == new


def test_a_label_of_our_own_is_seen(labels: Labels) -> None:
    """Labels that AWS does not know are shown, on the version that has them."""
    current = stands(labels.ask(lambda vault: vault.describe(labels.name)), Stage.CURRENT)
    labels.ask(lambda vault: vault.move(labels.name, "KEEPSTEP", to=current, away_from=None))
    assert labels.ask(lambda vault: vault.describe(labels.name)).labels["KEEPSTEP"] == current


def test_what_must_not_be_written_to_on_aws(aws: Labels) -> None:
    """A secret that is marked for deletion, or that AWS rotates, is refused, and the hint says what to do."""
    client = aws.server.client("secretsmanager")
    function = "arn:aws:lambda:us-east-1:123456789012:function:rotate"
    client.rotate_secret(SecretId=aws.name, RotationLambdaARN=function, RotateImmediately=False)
    with pytest.raises(Refused, match="rotated by Secrets Manager") as refusal:
        aws.ask(lambda vault: vault.describe(aws.name))
    assert "cancel-rotate-secret" in (refusal.value.hint or "")
    client.cancel_rotate_secret(SecretId=aws.name)
    assert aws.ask(lambda vault: vault.describe(aws.name)).stages
    client.delete_secret(SecretId=aws.name)
    with pytest.raises(Refused, match="marked for deletion"):
        aws.ask(lambda vault: vault.describe(aws.name))


def test_a_lost_answer_is_transient_and_the_write_is_there(aws: Labels) -> None:
    """A put whose answer is lost raises Transient without trying again; it has been done."""
    new = token()
    aws.server.fault("PutSecretValue", {"lose_reply": True})
    with pytest.raises(Transient):
        aws.ask(lambda vault: vault.put(aws.name, new, Secret("second"), PENDING))
    assert stands(aws.ask(lambda vault: vault.describe(aws.name)), Stage.PENDING) == new


def test_a_key_that_may_not_encrypt_is_named(aws: Labels) -> None:
    """A KMS refusal is Denied, and the hint names the statement that the key needs."""
    aws.server.fault("PutSecretValue", {"status": 400, "code": "EncryptionFailure"})
    with pytest.raises(Denied) as refusal:
        aws.ask(lambda vault: vault.put(aws.name, token(), Secret("second"), PENDING))
    assert "kms:" in (refusal.value.hint or "")


def test_staging_adds_a_pending_version(revisions: Revisions) -> None:
    """A staged version is PENDING under its name; CURRENT stays."""

    async def work(vault: RevisedVault) -> SecretState:
        await vault.stage(await vault.describe(revisions.name), "rot-g2-abc", Secret("second"))
        return await vault.describe(revisions.name)

    state = revisions.ask(work)
    assert set(state.stages) == {Stage.CURRENT, Stage.PENDING}
    assert {version.name for version in state.versions if Stage.PENDING in version.stages} == {"rot-g2-abc"}
    assert revisions.content(Stage.PENDING) == b"second"
    assert revisions.content(Stage.CURRENT) == b"first"


def test_promotion_moves_the_stages(revisions: Revisions) -> None:
    """The promoted version is CURRENT, the one before PREVIOUS, none PENDING; and it can be taken back."""

    async def work(vault: RevisedVault) -> list[SecretState]:
        looks = [await vault.describe(revisions.name)]
        await vault.stage(looks[0], "two", Secret("second"))
        looks.append(await vault.describe(revisions.name))
        await vault.promote(looks[1], looks[1].stages[Stage.PENDING])
        looks.append(await vault.describe(revisions.name))
        await vault.promote(looks[2], looks[2].stages[Stage.PREVIOUS])
        return [*looks, await vault.describe(revisions.name)]

    first, staged, promoted, back = revisions.ask(work)
    one, two = first.stages[Stage.CURRENT], staged.stages[Stage.PENDING]
    assert promoted.stages == {Stage.CURRENT: two, Stage.PREVIOUS: one}
    assert back.stages == {Stage.CURRENT: one, Stage.PREVIOUS: two}


def test_a_secret_that_changed_is_not_written_to(revisions: Revisions) -> None:
    """Staging and promoting what was looked at before somebody else's write are conflicts, and change nothing."""

    async def work(vault: RevisedVault) -> tuple[SecretState, SecretState]:
        stale = await vault.describe(revisions.name)
        await vault.stage(stale, "theirs", Secret("theirs"))
        before = await vault.describe(revisions.name)
        with pytest.raises(Conflict):
            await vault.stage(stale, "mine", Secret("mine"))
        with pytest.raises(Conflict):
            await vault.promote(stale, before.stages[Stage.PENDING])
        return before, await vault.describe(revisions.name)

    before, after = revisions.ask(work)
    assert (before.stages, len(before.versions)) == (after.stages, len(after.versions))


def test_a_name_is_taken_once(revisions: Revisions) -> None:
    """A version's name that is taken is a conflict, also for whoever looked just now."""

    async def work(vault: RevisedVault) -> None:
        await vault.stage(await vault.describe(revisions.name), "rot-g2-abc", Secret("second"))
        state = await vault.describe(revisions.name)
        with pytest.raises(Conflict, match="already exists"):
            await vault.stage(state, "rot-g2-abc", Secret("third"))

    revisions.ask(work)
    assert revisions.content(Stage.PENDING) == b"second"


def test_deprecated_versions_can_be_pruned(revisions: Revisions) -> None:
    """A version that a newer pending one replaced is deprecated, and its deletion can be scheduled."""
    at = datetime.now(UTC) + timedelta(days=1, hours=1)

    async def work(vault: RevisedVault) -> SecretState:
        for name in ("two", "three"):
            await vault.stage(await vault.describe(revisions.name), name, Secret(name))
        state = await vault.describe(revisions.name)
        [old] = [version.id for version in state.versions if version.is_deprecated]
        await vault.prune(state, old, at)
        return await vault.describe(revisions.name)

    state = revisions.ask(work)
    [pruned] = [version for version in state.versions if version.deletion]
    assert pruned.name == "two"
    assert pruned.deletion and abs(pruned.deletion - at) < timedelta(seconds=1)


def test_a_cheap_look_knows_current_alone(oci: Revisions) -> None:
    """Without the versions a look costs one question, and says where CURRENT stands."""
    state = oci.ask(lambda vault: vault.describe(oci.name, versions=False))
    assert dict(state.stages) == {Stage.CURRENT: "1"}
    assert state.versions == ()


def test_a_change_under_way_is_waited_for(oci: Revisions) -> None:
    """While the secret is UPDATING a look waits; what was written then can be promoted at once."""
    cloud, _ = oci.server
    _configure(cloud, 700)

    async def work(vault: RevisedVault) -> SecretState:
        await vault.stage(await vault.describe(oci.name), "two", Secret("second"))
        state = await vault.describe(oci.name)
        await vault.promote(state, state.stages[Stage.PENDING])
        return await vault.describe(oci.name)

    try:
        assert oci.ask(work).stages[Stage.CURRENT] == "2"
    finally:
        _configure(cloud, 0)


def _configure(cloud: LocalCloud, settle_ms: int) -> None:
    import json
    import urllib.request

    body = json.dumps({"settleMs": settle_ms}).encode()
    request = urllib.request.Request(f"{cloud.endpoint}/_localcloud/vault", body, method="POST")
    urllib.request.urlopen(request, timeout=30).close()


def test_what_must_not_be_written_to_on_oci(oci: Revisions) -> None:
    """A secret that is pending deletion is refused, and the hint says how to get it back."""
    _, writer = oci.server
    details = writer._models.ScheduleSecretDeletionDetails()
    writer._client.schedule_secret_deletion(oci.name, details)
    with pytest.raises(Refused, match="pending deletion") as refusal:
        oci.ask(lambda vault: vault.describe(oci.name))
    assert "cancel-secret-deletion" in (refusal.value.hint or "")


def test_a_lost_answer_is_not_repeated(oci: Revisions) -> None:
    """UpdateSecret is sent once: a lost answer is Transient, and the version is there by its name."""
    cloud, _ = oci.server
    cloud.fault("UpdateSecret", lose_reply=True)

    async def work(vault: RevisedVault) -> SecretState:
        with pytest.raises(Transient):
            await vault.stage(await vault.describe(oci.name), "rot-g2-abc", Secret("second"))
        return await vault.describe(oci.name)

    state = oci.ask(work)
    assert state.versions[0].name == "rot-g2-abc"
    assert len(state.versions) == 2
