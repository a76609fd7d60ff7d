"""How two places lie to each other is told by what they are, however they are written."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from keepstep.stores.address import parse
from keepstep.stores.places import Relation, identity, relation, way_from
from tests.servers import absent

SAME, INSIDE, CONTAINS, APART = Relation
OPPOSITE = {SAME: SAME, INSIDE: CONTAINS, CONTAINS: INSIDE, APART: APART}
COMPATIBLE = "n.compat.objectstorage.eu-frankfurt-1.oraclecloud.com"


@pytest.mark.parametrize(
    ("one", "other", "lies", "way"),
    [
        ("s3://b/a/b", "s3://b/a", INSIDE, "b/"),
        ("s3://b/a/b", "s3://b", INSIDE, "a/b/"),
        ("s3://b/a", "s3://b/a/", SAME, ""),
        ("s3://b", "s3://b/", SAME, ""),
        ("s3://b/ab", "s3://b/a", APART, None),
        ("s3://b//a", "s3://b/a", APART, None),
        ("s3://b/a", "s3://c", APART, None),
        ("oci://b@n/a", "oci://b@n", INSIDE, "a/"),
        ("oci://b@n/a", "oci://b@m", APART, None),
        ("oci://b@n/a", "s3://b/a", APART, None),
        ("s3://b/a", "/", APART, None),
        ("{0}/x/y", "{0}", INSIDE, "x/y/"),
        ("{0}/x/./y//", "{0}/", INSIDE, "x/y/"),
        ("{0}/x/../y", "{0}/y/..", INSIDE, "y/"),
        ("{0}/link/y", "{0}/x", INSIDE, "y/"),
        ("{0}/link", "{0}/x", SAME, ""),
        ("{0}/link/new/one", "{0}/x/new", INSIDE, "one/"),
        ("{0}/x/new", "{0}/x/new/../new/", SAME, ""),
        ("{0}/x/new", "{0}/x/newer", APART, None),
        ("file://{0}/x/%79", "{0}/x", INSIDE, "y/"),
        ("{0}", "/", INSIDE, None),
        ("{0}/x", "{0}/y", APART, None),
    ],
)
def test_relations(tmp_path: Path, one: str, other: str, lies: Relation, way: str | None) -> None:
    """A row a pair, asked in both directions; a prefix is a folder, and a folder is what it really is."""
    (tmp_path / "x" / "y").mkdir(parents=True)
    (tmp_path / "y").mkdir()
    (tmp_path / "link").symlink_to("x")
    root = os.path.realpath(tmp_path)
    ours, theirs = parse(one.format(root)), parse(other.format(root))
    assert relation(ours, theirs) is lies
    assert relation(theirs, ours) is OPPOSITE[lies]
    if other != "/" or lies is APART:
        assert way_from(theirs, ours) == way
    assert (identity(ours) == identity(theirs)) == (lies is SAME)


@pytest.mark.parametrize(
    ("one", "other", "lies"),
    [
        (("s3://b/a", "minio:9000"), ("s3://b", "minio:9000"), INSIDE),
        (("s3://b/a", "minio:9000"), ("s3://b", ""), APART),
        (("s3://b/a", "minio:9000"), ("s3://b/a", "ceph:9000"), APART),
        (("s3://b/a", COMPATIBLE), ("oci://b@n/a", "eu-frankfurt-1"), SAME),
        (("s3://b/a/c", COMPATIBLE), ("oci://b@n/a", "eu-frankfurt-1"), INSIDE),
        (("s3://b/a", COMPATIBLE), ("oci://b@m/a", "eu-frankfurt-1"), APART),
    ],
)
def test_where_buckets_are(one: tuple[str, str], other: tuple[str, str], lies: Relation) -> None:
    """Buckets of one name at two stores are apart; OCI's bucket seen through its S3 interface is itself."""
    ours, theirs = (replace(parse(address), origin=origin) for address, origin in (one, other))
    assert relation(ours, theirs) is lies


MOUNTED = """
import sys
from keepstep.stores.address import parse
from keepstep.stores.places import relation
root = sys.argv[1]
for one, other in (("m", "src/sub"), ("m", "src"), ("m/new", "src"), ("src", "m/deep"), ("m", "apart")):
    print(relation(parse(f"{root}/{one}"), parse(f"{root}/{other}")).value)
"""


def test_bind_mounts(tmp_path: Path) -> None:
    """A folder that is mounted once more elsewhere is itself there, and so are the folders above and below it."""
    for name in ("src/sub/deep", "m", "apart"):
        (tmp_path / name).mkdir(parents=True)
    script = 'mount --bind "$1/src/sub" "$1/m" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable, MOUNTED]
    if os.geteuid():
        absent("a mount of its own", "only root may mount")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "unshare: " in ran.stderr or "mount: " in ran.stderr:
        absent("a mount of its own", ran.stderr.strip())
    assert ran.stdout.split() == ["same", "inside", "inside", "contains", "apart"], ran.stderr


BENEATH = """
import sys
from keepstep.stores.address import parse
from keepstep.stores.places import way_from
root = sys.argv[1]
for outer, inner in (("t", "src"), ("t", "src/sub"), ("t/m", "src"), ("t", "t/m"), ("src", "t"), ("t/n", "src")):
    print(repr(way_from(parse(f"{root}/{outer}"), parse(f"{root}/{inner}"))))
"""


@pytest.mark.parametrize("is_covered", [False, True])
def test_what_is_mounted_further_down(tmp_path: Path, is_covered: bool) -> None:
    """A folder that a mount point shows in another one lies in that, where nothing is mounted over it."""
    for name in ("src/sub", "t/m", "t/n", "apart/sub"):
        (tmp_path / name).mkdir(parents=True)
    cover = 'mount --bind "$1/apart" "$1/t/m" && ' if is_covered else ""
    script = f'mount --bind "$1/src" "$1/t/m" && {cover}exec "$2" -c "$3" "$1"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", str(tmp_path), sys.executable, BENEATH]
    if os.geteuid():
        absent("a mount of its own", "only root may mount")
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "unshare: " in ran.stderr or "mount: " in ran.stderr:
        absent("a mount of its own", ran.stderr.strip())
    shown = ["None", "None", "None"] if is_covered else ["'m/'", "'m/sub/'", "''"]
    assert ran.stdout.split() == [*shown, "'m/'", "None", "None"], ran.stderr
