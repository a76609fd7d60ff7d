"""Where objects live, written as users write it: a path, ``s3://bucket/prefix``, ``oci://bucket@namespace/prefix``."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from keepstep.errors import ConfigError, Unsupported

Kind = Literal["local", "s3", "oci"]

_ARN = re.compile(
    r"(?P<bucket>arn:aws[^:/]*:s3[^:/]*:[^:/]*:\d{12}:(outpost[/:][^/:]+[/:])?(accesspoint|bucket)[/:][^/:]+)"
    r"/?(?P<prefix>.*)\Z",
    re.DOTALL,
)
"""As the AWS CLI reads them (awscli/customizations/s3/utils.py)."""
_ARN_OF_BUCKET = re.compile(r"arn:aws[^:]*:s3:::(?P<bucket>.+)", re.DOTALL)
_SCHEMES = {"s3": "s3://", "s3a": "s3://", "s3n": "s3://", "oci": "oci://", "file": "file:///"}
"""By what people write: how it is written here."""
_CLOUDS = "s3://bucket/prefix and oci://bucket@namespace/prefix"
_SEPARATOR = re.compile(r"[/\\]")
_DRIVE = re.compile(r"[A-Za-z]:")
_WINDOWS = ("\\\\", ".\\", "..\\")
"""A share, and relative paths."""


@dataclass(frozen=True, slots=True)
class Address:
    """A folder of objects: on a machine, in a bucket, or under a prefix of a bucket.

    ``prefix`` is empty or ends in ``/`` (``s3://b/pre`` means ``s3://b/pre/``, as it does for ``aws s3 sync``).
    For a local folder ``path`` is as the user wrote it, and ``bucket``, ``namespace`` and ``prefix`` are empty.
    """

    kind: Kind
    path: str = ""
    bucket: str = ""
    namespace: str = ""
    prefix: str = ""
    origin: str = ""
    """Where it is, as far as the rest does not say it: empty for AWS's buckets and folders of this machine."""

    def __str__(self) -> str:
        return self.of("")

    def of(self, key: str) -> str:
        """The address of one object, ``key`` being relative to this folder."""
        match self.kind:
            case "local":
                return f"{self.path.rstrip('/')}/{key}" if key else self.path
            case "s3":
                return f"s3://{self.bucket}/{self.prefix}{key}"
            case "oci":
                return f"oci://{self.bucket}@{self.namespace}/{self.prefix}{key}"

    def check_name(self, key: str) -> None:
        """Raises :class:`Unsupported` when no object in a bucket can be called so."""
        if not self.prefix + key:
            raise Unsupported(f"its name is that of its folder, and the target {self} is a bucket without a folder")


def parse(text: str) -> Address:
    """Reads an address. Raises :class:`ConfigError` that names what is wrong with it."""
    scheme, separator, rest = text.partition("://")
    if not separator or not scheme.isalnum():
        _refuse_other_spellings(text)
        return _local(text)
    match scheme:
        case "file":
            if not rest.startswith("/"):
                raise ConfigError(f"{text}: a file address has three slashes", hint="write it as file:///path")
            return _local(unquote(rest))
        case "s3":
            bucket, prefix = _split_s3(rest)
            if not bucket:
                raise ConfigError(f"{text}: no bucket named", hint="write it as s3://bucket/prefix")
            return Address("s3", bucket=bucket, prefix=_as_folder(prefix))
        case "oci":
            place, _, prefix = rest.partition("/")
            bucket, _, namespace = place.partition("@")
            if not bucket or not namespace:
                raise ConfigError(
                    f"{text}: bucket or namespace missing", hint="write it as oci://bucket@namespace/prefix"
                )
            return Address("oci", bucket=bucket, namespace=namespace, prefix=_as_folder(prefix))
        case _:
            meant = _SCHEMES.get(scheme.lower())
            raise ConfigError(
                f"{text}: unknown kind of address {scheme}://",
                hint=(f"write it as {meant}{rest}; " if meant else "")
                + f"known are a path, file:///path, {_CLOUDS}",
            )


def _refuse_other_spellings(text: str) -> None:
    """Raises :class:`ConfigError` for what other tools and systems mean by it, which is not a path here.

    As a path it would silently become a folder of that name. Such a folder is written ``./NAME``.
    """
    first = _SEPARATOR.split(text, maxsplit=1)[0]
    if text.startswith(_WINDOWS) or _DRIVE.match(text):
        raise ConfigError(f"{text}: this is a path of Windows", hint=f"write it with slashes, or as ./{text}")
    if ":" not in first:
        return
    name, _, rest = text.partition(":")
    kind, rest = name.lower(), rest.lstrip("/")
    if found := _ARN_OF_BUCKET.match(text):
        meant = f"s3://{found['bucket']}"
    elif kind in _SCHEMES:
        meant = _SCHEMES[kind] + rest
    elif "@" in name:
        meant = "a path of this machine, s3://bucket/prefix or oci://bucket@namespace/prefix"
    else:
        bucket, _, prefix = rest.partition("/")
        bucket = bucket or "bucket"
        meant = f"s3://{bucket}/{prefix} or oci://{bucket}@namespace/{prefix}"
    raise ConfigError(f"{text}: {name}: is not a known kind of address", hint=f"write {meant}; a folder: ./{text}")


def _local(path: str) -> Address:
    if not path or "\0" in path:
        raise ConfigError("an empty path is not an address", hint="for this folder write .")
    return Address("local", path=os.path.expanduser(path))


def _split_s3(rest: str) -> tuple[str, str]:
    """ARNs of access points stand where a bucket does, and hold slashes of their own."""
    found = _ARN.match(rest)
    bucket, _, prefix = rest.partition("/")
    return (found["bucket"], found["prefix"]) if found else (bucket, prefix)


def _as_folder(prefix: str) -> str:
    return prefix if not prefix or prefix.endswith("/") else prefix + "/"
