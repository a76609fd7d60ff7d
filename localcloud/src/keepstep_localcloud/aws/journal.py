"""What moto holds in memory, kept on disk: the state of each thing after its last write, not the history.

Objects are kept as moto has them: times, ETags, version ids, checksums and tags stay what they were. Buckets, their
settings and unfinished uploads are kept as the request that last set them, which moto is given again at the start.
So the file is as large as what is stored, whatever was written before. An object has at most 1 GB (SQLite's limit).
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode
from xml.etree import ElementTree

from keepstep_localcloud.aws import objects
from keepstep_localcloud.aws.database import open_database
from keepstep_localcloud.aws.http import Request, Response
from keepstep_localcloud.aws.moto import ask_s3

SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (
  number INTEGER PRIMARY KEY, subject TEXT UNIQUE NOT NULL, at TEXT NOT NULL,
  method TEXT NOT NULL, target TEXT NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS objects (
  bucket TEXT NOT NULL, key TEXT NOT NULL, version TEXT NOT NULL, place INTEGER NOT NULL,
  identity TEXT NOT NULL, state TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (bucket, key, version));
CREATE TABLE IF NOT EXISTS parameters (region TEXT PRIMARY KEY, state TEXT NOT NULL);
"""


class Journal:
    """The local AWS's memory on disk; for any thread."""

    def __init__(self, path: Path) -> None:
        self._database = open_database(path, SCHEMA)
        self._lock = threading.Lock()
        self._loaded: set[str] = set()

    def close(self) -> None:
        self._database.close()

    def note(self, operation: str, bucket: str, keys: Sequence[str], request: Request, response: Response) -> None:
        """Keeps what a successful write to S3 has left. It is on disk when this returns."""
        upload = f"upload/{bucket}/{request.query.get('uploadId')}"
        with self._lock, self._transaction():
            if operation == "CreateMultipartUpload":
                begun = ElementTree.fromstring(response.body).findtext("{*}UploadId")  # noqa: S314 - moto's own
                self._remember(f"upload/{bucket}/{begun}", request)
            elif operation in ("UploadPart", "UploadPartCopy"):
                self._remember(f"{upload}/{request.query['partNumber']}", _part(bucket, request))
            elif operation == "AbortMultipartUpload":
                self._forget(upload)
            elif keys:
                self._forget(upload)
                for key in keys:
                    self._note_object(bucket, key)
            else:
                self._note_bucket(operation, bucket, request)

    def load_parameters(self, region: str) -> None:
        """Gives moto back the region's SSM parameters, the first time; not earlier, for moto's SSM loads slowly."""
        with self._lock:
            if region not in self._loaded:
                self._loaded.add(region)
                for row in self._database.execute("SELECT * FROM parameters WHERE region = ?", (region,)):
                    objects.load_parameters(*row)

    def note_parameters(self, region: str) -> None:
        """Keeps the region's SSM parameters."""
        with self._lock:
            row = (region, objects.dump_parameters(region))
            self._database.execute("REPLACE INTO parameters VALUES (?, ?)", row)

    def replay(self) -> None:
        """Gives moto back the buckets and what is in them. What it no longer takes is said on stderr, and kept."""
        for subject, at, method, target, headers, body in self._database.execute(
            "SELECT subject, at, method, target, headers, body FROM requests ORDER BY number"
        ):
            response = ask_s3(Request(method, target, json.loads(headers), body))
            if response.status < 300:
                _settle(subject, at)
            else:
                print(f"localcloud: not restored: {subject}: {response.body!r}", file=sys.stderr)  # noqa: T201
        for row in self._database.execute(
            "SELECT bucket, key, state, body FROM objects ORDER BY bucket, key, place"
        ):
            objects.load_object(*row)

    def _note_bucket(self, operation: str, bucket: str, request: Request) -> None:
        query = sorted((name, value) for name, value in request.query.items() if name != "x-id")
        subject = f"bucket/{bucket}" + (f"/?{urlencode(query)}" if query else "")
        if operation == "DeleteBucket":
            self._forget(subject)
            self._forget(f"upload/{bucket}")
        elif request.method == "PUT":
            self._remember(subject, request)
        elif request.method == "DELETE":
            self._forget(subject)

    def _note_object(self, bucket: str, key: str) -> None:
        """Writes the versions that are new or have changed; a body is written once."""
        rows = self._database.execute(
            "SELECT version, identity FROM objects WHERE bucket = ? AND key = ?", (bucket, key)
        )
        known = dict(rows.fetchall())
        for place, held in enumerate(objects.versions(bucket, key)):
            identity, state = objects.identity(held), objects.dump_object(held)
            if known.pop(held.version_id, None) == identity:
                self._database.execute(
                    "UPDATE objects SET place = ?, state = ? WHERE bucket = ? AND key = ? AND version = ?",
                    (place, state, bucket, key, held.version_id),
                )
            else:
                row = (bucket, key, held.version_id, place, identity, state, getattr(held, "value", b""))
                self._database.execute("REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        gone = [(bucket, key, version) for version in known]
        self._database.executemany("DELETE FROM objects WHERE bucket = ? AND key = ? AND version = ?", gone)

    def _remember(self, subject: str, request: Request) -> None:
        """The first request about a subject decides its place and time: settings depend on earlier ones."""
        headers = {name: value for name, value in request.headers.items() if name != "x-amz-security-token"}
        self._database.execute(
            "INSERT INTO requests (subject, at, method, target, headers, body) VALUES (?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (subject) DO UPDATE"
            " SET target = excluded.target, headers = excluded.headers, body = excluded.body",
            (
                subject,
                datetime.now(UTC).isoformat(),
                request.method,
                request.target,
                json.dumps(headers),
                request.body,
            ),
        )

    def _forget(self, subject: str) -> None:
        """The subject and what is below it."""
        self._database.execute(
            "DELETE FROM requests WHERE subject = ? OR substr(subject, 1, ?) = ?",
            (subject, len(subject) + 1, f"{subject}/"),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _part(bucket: str, request: Request) -> Request:
    """An upload of the part's bytes, even when they were copied: the source may be gone by the next start."""
    body = objects.part(bucket, request.query["uploadId"], int(request.query["partNumber"]))
    headers = {name: value for name, value in request.headers.items() if not name.startswith("x-amz-copy-source")}
    return Request("PUT", request.target, headers, body)


def _settle(subject: str, at: str) -> None:
    """Makes what moto has just made again the same as it was: a bucket's time, an upload's id."""
    kind, *names = subject.split("/")
    if kind == "bucket" and len(names) == 1:
        objects.find_bucket(names[0]).creation_date = datetime.fromisoformat(at)
    elif kind == "upload" and len(names) == 2:
        objects.rename_last_upload(*names)
