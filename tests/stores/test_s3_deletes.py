"""A key of S3 counts as deleted when an answer accounts for it."""

from __future__ import annotations

import pytest

from keepstep.errors import Corrupt, Denied, Error, NotFound, Transient
from keepstep.stores.s3 import S3Store
from tests.stores.twisted import TwistedBucket, cut
from tests.stores.twisted import twisted as twisted

KEYS = ["a", "b/c", "d & <e>", "ü"]


@pytest.fixture
def full(twisted: TwistedBucket) -> TwistedBucket:
    for key in [*KEYS, "other"]:
        twisted.put(key, b"contents")
    return twisted


def deleted(full: TwistedBucket, keys: list[str] = KEYS) -> dict[str, Error]:
    return full.run(lambda store: store.delete(keys))


def result(*rows: str) -> bytes:
    return f'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{"".join(rows)}</DeleteResult>'.encode()


def error(key: str, code: str = "AccessDenied") -> str:
    return f"<Error><Key>{key}</Key><Code>{code}</Code><Message>because</Message></Error>"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", Transient),
        (b"<html><body>Please sign in</body></html>", Transient),
        (b"<!DOCTYPE html><p>It works!<br>", Transient),
        (result()[:-4], Transient),
        (b"<Error><Code>InternalError</Code></Error>", Transient),
        (b"   <Error><Code>AccessDenied</Code><Message>no</Message></Error>", Denied),
        (result(error("somebody's")), Corrupt),
        (result("<Error><Code>InternalError</Code></Error>"), Corrupt),
    ],
    ids=["nothing", "XHTML", "HTML", "cut", "late error", "late refusal", "another key", "no key"],
)
def test_an_answer_that_accounts_for_nothing_deletes_nothing(
    full: TwistedBucket, body: bytes, kind: type[Error]
) -> None:
    """DeleteObjects that answers 200 with something else than a whole DeleteResult: every key has failed."""
    full.twist("DeleteObjects", status=200, body=body)
    full.twist("DeleteObject", status=403, body=b"<Error><Code>AccessDenied</Code></Error>")
    failures = deleted(full)
    assert sorted(failures) == sorted(KEYS)
    assert all(isinstance(failure, kind) for failure in failures.values())
    assert len(full.keys()) == len(KEYS) + 1


def test_a_cut_answer_is_asked_for_again(full: TwistedBucket) -> None:
    """Deletes whose answer was spoilt once are repeated, which is safe, and then known."""
    full.twist("DeleteObjects", rewrite=cut(3), times=1)
    assert deleted(full) == {}
    assert full.keys() == ["other"]


def test_an_error_is_of_its_key_alone(full: TwistedBucket) -> None:
    """Of a batch with refusals the others are deleted, and a key that was gone already is not a failure."""
    full.twist("DeleteObjects", status=200, body=result(error("b/c"), error("ü", "NoSuchKey")))
    failures = deleted(full)
    assert list(failures) == ["b/c"]
    assert isinstance(failures["b/c"], Denied)


def test_a_passing_error_of_one_key_is_repeated(full: TwistedBucket) -> None:
    """A key that failed for a passing reason is tried again, by itself; one that keeps failing has failed."""
    full.twist("DeleteObjects", status=200, body=result(error("a", "InternalError")), times=1)
    assert deleted(full) == {}
    assert {"a"}.isdisjoint(full.keys())
    full.twist("DeleteObjects", status=200, body=result(error("d &amp; &lt;e&gt;", "SlowDown")))
    failures = deleted(full, ["d & <e>"])
    assert isinstance(failures["d & <e>"], Transient)


def test_a_list_of_deletes_must_be_whole(full: TwistedBucket) -> None:
    """A store that lists deletes in spite of quiet mode, and leaves one out, has not deleted that one."""
    rows = [f"<Deleted><Key>{key}</Key></Deleted>" for key in ("a", "d &amp; &lt;e&gt;", "ü")]
    full.twist("DeleteObjects", status=200, body=result(*rows))
    failures = deleted(full)
    assert list(failures) == ["b/c"]
    assert isinstance(failures["b/c"], Transient)


REFUSALS: list[tuple[int, bytes]] = [
    (501, b"<Error><Code>NotImplemented</Code><Message>no such thing</Message></Error>"),
    (405, b"<Error><Code>MethodNotAllowed</Code></Error>"),
    (404, b""),
    (404, b"<html>not found</html>"),
    (411, b""),
    (400, b"<Error><Code>InvalidArgument</Code></Error>"),
    (403, b"<html>only GET, PUT and DELETE pass this firewall</html>"),
]


@pytest.mark.parametrize(("status", "body"), REFUSALS)
def test_a_store_without_batches_deletes_one_by_one(full: TwistedBucket, status: int, body: bytes) -> None:
    """No DeleteObjects: single deletes do it, that is reported once, and the store is not asked again in this
    run."""
    full.twist("DeleteObjects", status=status, body=body)

    async def work(store: S3Store) -> tuple[dict[str, Error], dict[str, Error], list[str]]:
        return await store.delete(KEYS[:2]), await store.delete(KEYS[2:]), store.notices

    first, second, notices = full.run(work)
    assert (first, second) == ({}, {})
    assert len(notices) == 1 and "does not know DeleteObjects" in notices[0]
    assert full.keys() == ["other"]
    assert full.asked("DeleteObjects") == 1


@pytest.mark.parametrize(
    ("status", "body", "is_gone"),
    [
        (404, b"<Error><Code>NoSuchKey</Code></Error>", True),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", False),
        (404, b"<html>not found</html>", False),
        (403, b"<Error><Code>AccessDenied</Code></Error>", False),
        (200, b"<html>Please sign in</html>", False),
        (200, b"<Error><Code>AccessDenied</Code></Error>", False),
    ],
)
def test_a_single_delete_counts_when_it_is_confirmed(
    full: TwistedBucket, status: int, body: bytes, is_gone: bool
) -> None:
    """One by one, too: only "no such key" means that it is gone, and a page of a proxy means nothing."""
    full.twist("DeleteObjects", status=501)
    full.twist("DeleteObject", status=status, body=body)
    assert sorted(deleted(full)) == ([] if is_gone else sorted(KEYS))


def test_a_bucket_that_is_gone_has_deleted_nothing(full: TwistedBucket) -> None:
    """NoSuchBucket is not "already gone"."""
    full.twist("DeleteObjects", status=404, body=b"<Error><Code>NoSuchBucket</Code></Error>")
    full.twist("DeleteObject", status=404, body=b"<Error><Code>NoSuchBucket</Code></Error>")
    failures = deleted(full)
    assert sorted(failures) == sorted(KEYS)
    assert all(isinstance(failure, NotFound) for failure in failures.values())


def test_keys_that_xml_would_change_are_deleted_by_themselves(twisted: TwistedBucket) -> None:
    """A line end in a key is one character to XML's readers, whichever it was: such a key is not put into XML."""
    keys = ["line\rend", "tab\there", "bell\x07", "next\x85line"]
    for key in keys:
        twisted.put(key, b"")
    assert deleted(twisted, keys) == {}
    assert twisted.keys() == []
    assert twisted.asked("DeleteObjects") == 0


def test_documents_may_be_written_in_any_way(full: TwistedBucket) -> None:
    """Namespaces, prefixes, attributes and CDATA change nothing in what an answer says."""
    body = (
        b'<?xml version="1.0"?><!-- hello --><s:DeleteResult xmlns:s="urn:x">'
        b"<s:Error a='1'><s:Code>AccessDenied</s:Code><s:Key><![CDATA[d & <e>]]></s:Key></s:Error></s:DeleteResult>"
    )
    full.twist("DeleteObjects", status=200, body=body)
    assert list(deleted(full)) == ["d & <e>"]
