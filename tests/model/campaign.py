"""Random cases: two places, how they list, what is asked for; run by keepstep and by the model."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from keepstep.clouds.aws import AwsIdentity
from keepstep.clouds.aws_chain import AwsSettings
from keepstep.clouds.oci import OciIdentity, OciSettings
from keepstep.objects.filters import Filters, Rule
from keepstep.objects.guard import Cap
from keepstep.objects.plan import Direction, Rules
from keepstep.objects.sync import Sync
from keepstep.objects.wiring import SyncOptions
from keepstep.runs.report import Report
from keepstep.stores.address import Address
from keepstep.stores.interface import Store
from keepstep.stores.oci import OciStore
from keepstep.stores.oci_client import OciClient
from keepstep.stores.options import TransferOptions
from keepstep.stores.s3 import S3Store
from keepstep.stores.s3_client import S3Client
from tests.model.clouds import DRESSES, Bucket, Clouds
from tests.model.rules import Asked, Outcome, Thing, outcome
from tests.objects.worlds import Watcher
from tests.stores.shelves import ORDERS, STARTS

_ALPHABET = [
    "a",
    "b",
    "A",
    "/",
    "/",
    "-",
    ".",
    " ",
    "+",
    "%",
    "&",
    "<",
    "é",
    "\ue000",
    "\U0001f986",
    "\x01",
    "'",
    "e\u0301",
]
_PATTERNS = ["*", "a*", "*/", "b/*", "*.*", "a/*", "?", "", "[ab]*", "*é*", "A", "d2/*"]
_PREFIXES = ["", "p/", "p q/", "é/\U0001f986/"]
_SHOWN = {"%FFx": "\\xffx", "a%E9": "a\\xe9", "\ud800x": "\\ud800x", "a\udfff": "a\\udfff"}
"""Names that are no text, in both clouds, and how they are shown."""
_PAGE_SIZES = [1, 2, 3, 5, 1000]


@dataclass
class Place:
    """One side of a case."""

    kind: str
    prefix: str
    bucket: Bucket

    @property
    def things(self) -> dict[str, Thing]:
        """By relative key."""
        cut = len(self.prefix)
        return {name[cut:]: thing for name, thing in self.bucket.things.items() if name.startswith(self.prefix)}


@dataclass
class Case:
    source: Place
    target: Place
    asked: Asked

    @property
    def is_broken(self) -> bool:
        buckets = self.source.bucket, self.target.bucket
        return any(bucket.breaks_after is not None or bucket.repeats for bucket in buckets)


def case_of(chance: random.Random) -> Case:
    """A case; the same for the same generator."""
    keys = ["".join(chance.choices(_ALPHABET, k=chance.randrange(6))) for _ in range(chance.randrange(18))]
    kinds = chance.choice([("s3", "s3"), ("s3", "s3"), ("s3", "oci"), ("oci", "s3")])
    source, target = (_place(kind, keys, chance) for kind in kinds)
    if chance.random() < 0.4:  # sides that are alike
        for key, thing in source.things.items():
            if chance.random() < 0.9 and target.prefix + key:
                target.bucket.things[target.prefix + key] = thing
    filters = tuple(
        (chance.random() < 0.5, chance.choice(_PATTERNS)) for _ in range(chance.choice([0, 0, 1, 2, 3]))
    )
    asked = Asked(
        delete=chance.random() < 0.7,
        size_only=chance.random() < 0.2,
        no_overwrite=chance.random() < 0.1,
        filters=filters,
        allow_empty_source=chance.random() < 0.2,
        max_delete=chance.choice([None, 0, 3, 100, 100]),
    )
    return Case(source, target, asked)


def _place(kind: str, keys: list[str], chance: random.Random) -> Place:
    bucket = Bucket(page_size=chance.choice(_PAGE_SIZES), has_empty_pages=chance.random() < 0.15)
    if kind == "s3":
        bucket.order = chance.choice([*ORDERS.values()]) if chance.random() < 0.6 else ORDERS["utf8"]
        bucket.starts = chance.choice(STARTS)
        bucket.dress = chance.choice(DRESSES)
        bucket.takes_extras = chance.random() < 0.8
        bucket.encodes = chance.random() < 0.8
    prefix = chance.choice(_PREFIXES)
    for key in keys:
        if chance.random() < 0.7 and prefix + key:
            bucket.things[prefix + key] = Thing(
                b"x" * chance.choice([0, 1, 1, 2]), 10**15 + chance.randrange(3) * 10**6
            )
    if chance.random() < 0.2:  # what else is in the bucket
        bucket.things["zz"] = bucket.things["p"] = Thing(b"other", 10**15)
    if chance.random() < 0.1 and bucket.encodes:
        bucket.unrepresentable_names = ["%FFx", "a%E9"] if kind == "s3" else ["\ud800x", "a\udfff"]
    if chance.random() < 0.12:
        bucket.breaks_after = chance.randrange(3)
    bucket.repeats = chance.random() < 0.04
    bucket.garbles = int(chance.random() < 0.04)
    return Place(kind, prefix, bucket)


def expected(case: Case) -> Outcome:
    """By the model."""
    source, target = case.source.things, case.target.things
    includes = Filters(_rules(case)).includes
    # At the target they cannot be deleted, which is said where deleting is asked for.
    unread = [
        *case.source.bucket.unrepresentable_names,
        *(case.target.bucket.unrepresentable_names if case.asked.delete else ()),
    ]
    unrepresentable_names = sum(includes(_SHOWN[stray]) for stray in unread)
    unholdable = frozenset() if case.target.prefix else frozenset({""})
    spared = frozenset(key for key in target if case.source.bucket.unrepresentable_names and _may_be_copy(key))
    return outcome(
        source,
        target,
        case.asked,
        unrepresentable_names=unrepresentable_names,
        unholdable=unholdable,
        spared=spared,
    )


def _may_be_copy(key: str) -> bool:
    """Of one of the strays: ``a`` and something, or something and ``x``."""
    if key in ("a", "x"):
        return True
    return len(key) == 2 and any(
        not other.isascii() for other in (key[1:] * (key[0] == "a"), key[:1] * (key[1] == "x"))
    )


def _rules(case: Case) -> list[Rule]:
    return [Rule(is_include, pattern) for is_include, pattern in case.asked.filters]


def check(case: Case, before: dict[str, Thing], plan: Outcome, report: Report) -> str:
    """Raises ``AssertionError`` where keepstep and the model differ. Returns how the case ended."""
    after = {key: thing.data for key, thing in case.target.things.items()}
    if any(failure.action == "list" for failure in report.failures):
        assert case.is_broken
        assert int(report.exit_code) in (1, 5), report.exit_code
        assert before.keys() <= after.keys(), f"deleted: {before.keys() - after.keys()}"
        source = case.source.things
        for key, data in after.items():
            is_kept = key in before and before[key].data == data
            assert is_kept or (key in plan.copied and source[key].data == data), key
        return "broken"
    assert after == plan.target
    assert report.counts["copy"] == len(plan.copied), (report.counts["copy"], plan.copied)
    assert report.counts["delete"] == len(plan.deleted), (report.counts["delete"], plan.deleted)
    assert int(report.exit_code) == plan.code, (report.exit_code, plan.code)
    return f"exit {plan.code}"


class Campaign:
    """Runs cases against small clouds in this process."""

    def __init__(self, url: str, clouds: Clouds) -> None:
        self._clouds = clouds
        self._aws, self._oci = AwsIdentity(AwsSettings()), OciIdentity(OciSettings())

    async def run(self, case: Case) -> str:
        plan, before = expected(case), case.target.things
        stores = [self._store(name, place) for name, place in (("source", case.source), ("target", case.target))]
        asked = case.asked
        options = SyncOptions(
            Rules(Direction.COPY, asked.delete, asked.size_only, no_overwrite=asked.no_overwrite),
            Filters(_rules(case)),
            Cap() if asked.max_delete is None else Cap.parse(str(asked.max_delete)),
            allow_empty_source=asked.allow_empty_source,
        )
        try:
            report = await asyncio.wait_for(Sync(stores[0], stores[1], options, Watcher()).run(), 60)
        finally:
            for store in stores:
                await store.close()
        try:
            return check(case, before, plan, report)
        except AssertionError as exc:
            exc.add_note(f"{[*report.failures]} {[*report.warnings]}")
            raise

    def _store(self, name: str, place: Place) -> Store:
        self._clouds.buckets[name] = place.bucket
        options = TransferOptions()
        if place.kind == "s3":
            address = Address("s3", bucket=name, prefix=place.prefix)
            return S3Store(address, S3Client(name, self._aws), options)
        address = Address("oci", bucket=name, namespace="ns", prefix=place.prefix)
        return OciStore(address, OciClient(name, "ns", self._oci), options)


@contextmanager
def environment(url: str) -> Iterator[None]:
    """Keys and settings that let both clients use the small clouds."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    with TemporaryDirectory(prefix="keepstep-model-") as folder:
        private = rsa.generate_private_key(65537, 2048)
        key = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        fingerprint = hashlib.md5(public, usedforsecurity=False).hexdigest()
        (Path(folder) / "key.pem").write_bytes(key)
        config = Path(folder) / "config"
        ocid = "ocid1.{}.oc1..aaaaaaaaba3pv6wkcr4jqae5f44n2b2m2yt2j6rx32uzr4h25vqstifsfdsq"
        config.write_text(
            f"[DEFAULT]\nuser={ocid.format('user')}\ntenancy={ocid.format('tenancy')}\nregion=eu-frankfurt-1\n"
            f"fingerprint={':'.join(fingerprint[n : n + 2] for n in range(0, 32, 2))}\nkey_file={folder}/key.pem\n"
        )
        for path in Path(folder).iterdir():
            path.chmod(0o600)
        settings = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
            "AWS_REGION": "us-east-1",
            "OCI_ENDPOINT_URL": url,
            "OCI_CLI_CONFIG_FILE": str(config),
        }
        earlier = {name: os.environ.get(name) for name in settings}
        os.environ.update(settings)
        try:
            yield
        finally:
            for name, value in earlier.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


async def campaign(count: int, seed: int) -> Counter[str]:
    """How often each ending came. Raises with the case's number where keepstep and the model differ."""
    clouds, endings = Clouds(), Counter[str]()
    url = await clouds.start()
    with environment(url):
        runner = Campaign(url, clouds)
        for number in range(seed, seed + count):
            case = case_of(random.Random(number))
            try:
                endings[await runner.run(case)] += 1
            except BaseException as exc:
                exc.add_note(f"case {number}: {case}")
                raise
    clouds.stop()
    return endings
