"""From an rclone.conf: its remotes of S3 and OCI Object Storage, and what is to be synced between them.

Source: rclone's documentation, "Configuration file", "Amazon S3 Storage Providers", "Oracle Object Storage".
"""

from __future__ import annotations

import configparser
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from keepstep.drafts.draft import Draft
from keepstep.errors import ConfigError

_LARGEST = 1 << 20
_DEEPEST = 10
_AUTH = {
    "user_principal_auth": "api_key",
    "instance_principal_auth": "instance_principal",
    "resource_principal_auth": "resource_principal",
    "workload_identity_auth": "oke_workload_identity",
}
"""``provider`` of an oracleobjectstorage remote; ``env_auth`` is how keepstep looks by itself."""
_KEYS = ("access_key_id", "secret_access_key", "session_token")
_TARGET = {
    "acl": "--acl",
    "storage_class": "--storage-class",
    "server_side_encryption": "--sse",
    "sse_kms_key_id": "--sse-kms-key-id",
}
"""Of an s3 remote, for what is written to it."""
_TAKEN = {
    "s3": {
        "type",
        "provider",
        "env_auth",
        "profile",
        "region",
        "endpoint",
        "role_arn",
        "requester_pays",
        *_KEYS,
        *_TARGET,
    },
    "oracleobjectstorage": {
        "type",
        "provider",
        "namespace",
        "config_file",
        "config_profile",
        "region",
        "compartment",
    },
}
_LOCAL = re.compile(r"[./~]|$")


@dataclass(frozen=True)
class _Remote:
    name: str
    kind: str
    values: Mapping[str, str] = field(repr=False)

    def get(self, key: str) -> str:
        return self.values.get(key, "")

    def is_set(self, key: str) -> bool:
        return self.get(key).lower() in ("true", "1", "t", "yes")

    @property
    def brings_keys(self) -> bool:
        return any(self.get(key) for key in _KEYS)

    @property
    def is_anonymous(self) -> bool:
        return (
            self.kind == "s3" and not self.brings_keys and not self.is_set("env_auth") and not self.get("profile")
        )


def draft_of_rclone(path: Path, syncs: Sequence[tuple[str, str]] = ()) -> Draft:
    """Identities for the remotes, and a job for each pair of places, written as for rclone (``remote:path``).

    No secret is copied: profiles of the clouds' own files take their place. Raises :class:`ConfigError` for a file
    that cannot be read, and for places that have no counterpart.
    """
    remotes = _read(path)
    return _Rclone(path, remotes).draft(syncs)


def _read(path: Path) -> dict[str, _Remote]:
    """Raises :class:`ConfigError` without repeating a line: it may have a password in it."""
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as exc:
        raise ConfigError(
            f"cannot read {path}: {exc.strerror}", hint="rclone config file says where it is"
        ) from exc
    if re.search(rb"^RCLONE_ENCRYPT_V\d+:", content, re.MULTILINE):
        hint = "let rclone decrypt it: keepstep init --from-rclone <(rclone config show)"
        raise ConfigError(f"{path} is encrypted", hint=hint)
    parser = configparser.RawConfigParser(
        delimiters=("=",), interpolation=None, default_section="\0", empty_lines_in_values=False
    )
    try:
        parser.read_string(content.decode("utf-8-sig"))
    except (configparser.Error, UnicodeDecodeError) as exc:
        number = getattr(exc, "lineno", None) or next((line for line, _ in getattr(exc, "errors", [])), None)
        where = f" line {number}" if number else ""
        hint = "it has sections [remote] with lines name = value"
        raise ConfigError(f"{path}{where} is not understood", hint=hint) from None
    if len(content) > _LARGEST or not parser.sections():
        raise ConfigError(f"{path} has no remotes", hint="rclone config file says where the configuration is")
    return {name: _Remote(name, parser[name].get("type", ""), dict(parser[name])) for name in parser.sections()}


class _Rclone:
    def __init__(self, path: Path, remotes: Mapping[str, _Remote]) -> None:
        self._path = path
        self._remotes = remotes
        self._draft = Draft(str(path))
        of_kind = {kind: [each for each in remotes.values() if each.kind == kind] for kind in _TAKEN}
        self._s3, self._oci = of_kind["s3"], of_kind["oracleobjectstorage"]

    def draft(self, syncs: Sequence[tuple[str, str]]) -> Draft:
        if not self._s3 and not self._oci:
            kinds = ", ".join(sorted({remote.kind or "none" for remote in self._remotes.values()}))
            raise ConfigError(
                f"{self._path} has no remote of type s3 or oracleobjectstorage (its types: {kinds})",
                hint="keepstep syncs folders, S3 and OCI Object Storage",
            )
        for remote in self._oci[:1]:
            self._oci_identity(remote, ("identity", "oci"))
        for remote in self._s3[:1]:
            self._aws_identity(remote, ("identity", "aws"))
        names: list[str] = []
        for source, target in syncs:
            self._job(source, target, names)
        if not syncs:
            self._examples()
        self._rest()
        return self._draft

    def _oci_identity(self, remote: _Remote, table: tuple[str, ...]) -> None:
        draft = self._draft
        draft.table(*table, comment=f"The remote {remote.name}.")
        auth = _AUTH.get(remote.get("provider"))
        draft.set("auth", auth, f"provider = {remote.get('provider')}")
        if remote.get("provider") == "no_auth":
            draft.ignored.append(f"provider = no_auth of {remote.name}: keepstep signs every request to OCI")
        draft.set("config_file", remote.get("config_file") or None, called="config_file")
        draft.set(
            "profile", remote.get("config_profile") or None, "of the OCI configuration", called="config_profile"
        )
        if region := remote.get("region"):
            draft.comment(f"The region is that of the profile: {region} in {remote.name}.")

    def _aws_identity(self, remote: _Remote, table: tuple[str, ...]) -> None:
        draft = self._draft
        draft.table(*table, comment=f"The remote {remote.name}.")
        profile = remote.get("profile") or (remote.name if remote.brings_keys else "")
        draft.set("profile", profile or None, "of ~/.aws/config and ~/.aws/credentials", called="profile")
        draft.set("region", remote.get("region") or None, called="region")
        if remote.get("role_arn"):
            draft.set("role_arn", [remote.get("role_arn")], called="role_arn")
        endpoint = remote.get("endpoint")
        if "@" in endpoint:
            draft.ignored.append(f"endpoint of {remote.name}: it may have a password in it")
        elif endpoint:
            draft.set("endpoint_url", endpoint if "://" in endpoint else f"https://{endpoint}", called="endpoint")
        if remote.brings_keys:
            command = f"aws configure --profile {shlex.quote(profile)}"
            draft.steps.append(f"Put the access key of the remote {remote.name} into ~/.aws/credentials: {command}")

    def _job(self, source: str, target: str, names: list[str]) -> None:
        one, other = self._place(source), self._place(target)
        aws, oci = self._only(one, other, "s3"), self._only(one, other, "oracleobjectstorage")
        plain = re.sub(
            r"[^A-Za-z0-9_-]+",
            "-",
            f"{one[0].name if one[0] else 'here'}-to-{other[0].name if other[0] else 'here'}",
        )
        name = next(n for n in (plain, *(f"{plain}-{count}" for count in range(2, 10000))) if n not in names)
        names.append(name)
        draft = self._draft
        draft.table("job", name, comment=f"rclone copy {source} {target}")
        draft.set("kind", "sync")
        draft.set("source", one[1], called=source)
        draft.set("target", other[1], called=target)
        draft.set("params", shlex.join(self._params(one[0], other[0])) or None)
        draft.off('params = "--delete"  # as rclone sync does; see docs/sync.md for --max-delete')
        draft.set("schedule", "0 * * * *", "minute, hour, day, month, weekday")
        first_aws, first_oci = next(iter(self._s3), None), next(iter(self._oci), None)
        if (aws or first_aws) is not first_aws or (oci or first_oci) is not first_oci:
            # A job's own identities take the place of both of the file's.
            if aws or first_aws:
                self._aws_identity(aws or first_aws, ("job", name, "identity", "aws"))  # type: ignore[arg-type]
            if oci or first_oci:
                self._oci_identity(oci or first_oci, ("job", name, "identity", "oci"))  # type: ignore[arg-type]

    def _params(self, source: _Remote | None, target: _Remote | None) -> list[str]:
        words = []
        if target and target.kind == "s3":
            words += [
                word for key, option in _TARGET.items() if target.get(key) for word in (option, target.get(key))
            ]
        sides = [side for side in (source, target) if side]
        if any(side.is_set("requester_pays") for side in sides):
            words += ["--request-payer", "requester"]
        if any(side.is_anonymous for side in sides):
            words.append("--no-sign-request")
        return words

    def _only(
        self, one: tuple[_Remote | None, str], other: tuple[_Remote | None, str], kind: str
    ) -> _Remote | None:
        """The one remote of that kind. Raises :class:`ConfigError` where there are two: a job has one identity."""
        found = {side[0].name: side[0] for side in (one, other) if side[0] and side[0].kind == kind}
        if len(found) > 1:
            raise ConfigError(
                f"{' and '.join(found)} are two identities of one cloud, and a job has one",
                hint="give one identity the rights of both, or sync by way of a folder",
            )
        return next(iter(found.values()), None)

    def _place(self, text: str, depth: int = 0) -> tuple[_Remote | None, str]:
        """The remote, and the address here; no remote for a folder of this machine."""
        name, colon, rest = text.partition(":")
        if not colon or _LOCAL.match(name):
            return None, text
        remote = self._remotes.get(name)
        if remote is None:
            known = ", ".join(self._remotes)
            raise ConfigError(f"{text}: there is no remote {name}", hint=f"remotes of {self._path}: {known}")
        if remote.kind == "local":
            return None, rest
        if remote.kind == "alias" and remote.get("remote") and depth < _DEEPEST:
            base = remote.get("remote")
            return self._place(f"{base}{'' if base.endswith((':', '/')) or not rest else '/'}{rest}", depth + 1)
        if remote.kind not in _TAKEN:
            raise ConfigError(f"{text}: rclone's {remote.kind} has no counterpart", hint="name an s3 or OCI remote")
        bucket, _, prefix = rest.strip("/").partition("/")
        if not bucket:
            raise ConfigError(f"{text} names no bucket", hint=f"write it as {name}:bucket/path")
        folder = f"{prefix}/" if prefix else ""
        if remote.kind == "s3":
            return remote, f"s3://{bucket}/{folder}"
        if not remote.get("namespace"):
            raise ConfigError(f"the remote {name} has no namespace", hint="add namespace = … to it")
        return remote, f"oci://{bucket}@{remote.get('namespace')}/{folder}"

    def _examples(self) -> None:
        """For each kind of remote, and from OCI to S3 where both are there; what to sync is known to nobody yet."""
        oci = [f"oci://BUCKET@{each.get('namespace') or 'NAMESPACE'}/PREFIX/" for each in self._oci[:1]]
        s3 = ["s3://BUCKET/PREFIX/" for _ in self._s3[:1]]
        source, target = (*oci, *s3, "/srv/data/")[:2]
        lines = [
            "[job.example]",
            'kind = "sync"',
            f'source = "{source}"',
            f'target = "{target}"',
            'params = "--delete"          # as rclone sync; leave it out for rclone copy',
            'schedule = "0 * * * *"',
        ]
        self._draft.example("What to sync is not in rclone.conf. An example:", lines)
        again = f"keepstep init --from-rclone {self._path} --sync REMOTE:BUCKET/PATH REMOTE:BUCKET/PATH"
        self._draft.steps.append(f"Name what to sync: complete [job.example], or write the file again with {again}")

    def _rest(self) -> None:
        """What was passed over, by its name alone."""
        for remote in self._remotes.values():
            if remote.kind not in (*_TAKEN, "local", "alias"):
                self._draft.ignored.append(
                    f"the remote {remote.name}: rclone's {remote.kind or 'unknown type'} has no counterpart"
                )
                continue
            known = _TAKEN.get(remote.kind, {"type", "remote"})
            if others := sorted(remote.values.keys() - known):
                self._draft.ignored.append(
                    f"{', '.join(others)} of the remote {remote.name}: no key of keepstep.toml"
                )
        for more in (*self._s3[1:], *self._oci[1:]):
            self._draft.ignored.append(
                f"the remote {more.name} where no job uses it: the file's identities are those of the first remotes"
            )
