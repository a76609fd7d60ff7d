"""Cases: two trees, how they differ, and the words of the command line; each follows from its number alone.

Local trees hold what a file system can, S3 trees also keys that it cannot. Times of S3 are whole seconds, as S3's
are; local ones are finer.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal

Direction = Literal["upload", "download", "copy"]

NOW = 1_750_000_000
"""Seconds of the epoch: the times of a case lie around it."""
NAMES = (
    "a", "b", "A", "a.txt", "b.html", "a b", "a+b", "x[1]", "ü", "é.txt", ".hidden", "data",
    "dir/x", "dir/a.txt", "dir/sub/y", "dir.x", "dir-1/z", "dir0", "Dir/x", "%20", "z/z/z", "*", "?q", "d#/e&f",
)  # fmt: skip
KEYS = (*NAMES, "dir/", "q//r", "m/", "s;t", "..a", "e=f", "<x>", "'", "~", "\\b", "dir", "dir/x/deep")
"""What only a bucket can hold at once, folder markers among it."""
PATTERNS = (
    "*", "*.txt", "dir/*", "d*", "?", "a", "[ab]*", "[!a]*", "dir", "dir/", "*/x", "A*", ".*", "dir/sub/*",
    "./a", "../*", "x[[]1]", "**", "*/*", "dir*", "*a*", "z/*/z", "[", "a[", "?.???", "ü", "no-such", "*.TXT", "/a",
)  # fmt: skip
TYPED = (
    "page.html",
    "style.css",
    "photo.jpeg",
    "archive.tar.gz",
    "notes.txt",
    "noext",
    "d/data.json",
    "d/x.csv",
    "UP.TXT",
)
"""Names whose endings say a type, and some whose do not."""


@dataclass(frozen=True)
class Object:
    """One file or object."""

    size: int
    time: float
    """Seconds of the epoch."""
    storage_class: str = "STANDARD"
    """Of objects of S3."""
    link: str = ""
    """What a file is a symbolic link to: ``file``, ``folder`` or ``nothing``."""


Tree = dict[str, Object]


@dataclass(frozen=True)
class Case:
    """What is at both sides, and what is asked for."""

    number: int
    direction: Direction
    source: Tree
    target: Tree
    source_prefix: str
    target_prefix: str
    """Of buckets."""
    words: tuple[str, ...]


def case(number: int) -> Case:
    """The case of that number."""
    dice = random.Random(number)
    direction: Direction = dice.choice(("upload", "download", "copy"))
    names = dice.sample(KEYS if direction == "copy" else NAMES, dice.randint(1, 10))
    source = {name: _object(dice, is_local=direction == "upload") for name in names if dice.random() < 0.8}
    target = {name: _object(dice, is_local=direction == "download") for name in names if dice.random() < 0.7}
    for name in set(source) & set(target):
        if dice.random() < 0.6:
            target[name] = Object(source[name].size, target[name].time)
        if dice.random() < 0.3 and direction == "copy":
            target[name] = Object(target[name].size, source[name].time)
    for tree, kind in ((source, "upload"), (target, "download")):
        _decorate(dice, tree, is_local=direction == kind, is_source=tree is source)
    prefixes = [dice.choice(("", "p", "p/", "p/q", "pre fix/")) for _ in range(2)]
    words = _words(dice) + (_of_downloads(dice) if direction == "download" else ())
    return Case(number, direction, source, target, prefixes[0], prefixes[1], words)


def _decorate(dice: random.Random, tree: Tree, *, is_local: bool, is_source: bool) -> None:
    """Makes archived objects and symbolic links of a few."""
    for name, each in list(tree.items()):
        if not is_local and dice.random() < 0.05:
            tree[name] = replace(each, storage_class=dice.choice(("GLACIER", "DEEP_ARCHIVE", "GLACIER_IR")))
        if is_local and is_source and dice.random() < 0.1:
            tree[name] = replace(each, link=dice.choice(("file", "folder", "nothing")))


def _object(dice: random.Random, *, is_local: bool) -> Object:
    fraction = dice.choice((0, 0, 0.25, 0.999)) if is_local else 0
    return Object(dice.choice((0, 1, 2)), NOW + dice.choice((-3600, -1, 0, 0, 0, 1, 3600)) + fraction)


def _words(dice: random.Random) -> tuple[str, ...]:
    words: list[str] = []
    for _ in range(dice.choice((0, 0, 1, 1, 2, 3, 4))):
        words += [dice.choice(("--exclude", "--exclude", "--include")), dice.choice(PATTERNS)]
    flags = {"--delete": 0.5, "--size-only": 0.2, "--exact-timestamps": 0.2, "--no-follow-symlinks": 0.1}
    words += [flag for flag, chance in flags.items() if dice.random() < chance]
    if dice.random() < 0.2:
        words += ["--page-size", dice.choice(("1", "2", "1000"))]
    return tuple(words)


def _of_downloads(dice: random.Random) -> tuple[str, ...]:
    words: tuple[str, ...] = ()
    if dice.random() < 0.3:
        words += ("--case-conflict", dice.choice(("ignore", "warn", "skip", "error")))
    flags = ("--ignore-glacier-warnings", "--force-glacier-transfer")
    return words + tuple(flag for flag in flags if dice.random() < 0.2)


def real_case(number: int) -> Case:
    """A case for a run that is not dry: names with types, and options that change what objects become."""
    dice = random.Random(f"real {number}")
    plain = case(number)
    names = dice.sample(TYPED, dice.randint(2, 5))
    source = {name: _object(dice, is_local=plain.direction == "upload") for name in names}
    target = {name: _object(dice, is_local=plain.direction == "download") for name in names if dice.random() < 0.3}
    return Case(
        number, plain.direction, source, target, "in/", "out/", (*_words(dice), *_options(dice, plain.direction))
    )


def _options(dice: random.Random, direction: Direction) -> list[str]:
    if direction == "download":
        return []
    options = [
        ("--storage-class", dice.choice(("STANDARD_IA", "GLACIER_IR", "REDUCED_REDUNDANCY"))),
        ("--sse", "AES256"),
        ("--sse", "aws:kms", "--sse-kms-key-id", "key-1"),
        ("--acl", dice.choice(("private", "public-read", "bucket-owner-full-control"))),
        ("--request-payer", "requester"),
        ("--website-redirect", "/elsewhere"),
    ]
    if direction == "upload":
        options += [
            ("--no-guess-mime-type",),
            ("--content-type", "text/x-mine"),
            ("--cache-control", "max-age=60, public"),
            ("--content-disposition", 'attachment; filename="x"'),
            ("--content-encoding", "gzip"),
            ("--content-language", "de, en"),
            ("--expires", "2030-06-01T12:00:00Z"),
            ("--metadata", dice.choice(("a=1,B=2", '{"x": "y,z"}', "q='a,b'"))),
            ("--checksum-algorithm", dice.choice(("CRC32", "SHA256", "SHA1", "CRC32C"))),
        ]
    else:
        options += [("--metadata-directive", "COPY"), ("--metadata-directive", "REPLACE", "--metadata", "m=1")]
    chosen = dice.sample(options, dice.randint(0, 4))
    names = [option[0] for option in chosen]
    return [word for option in chosen if names.count(option[0]) == 1 for word in option]
