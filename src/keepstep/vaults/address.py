"""Where a secret lives, as users write it.

``ocid1.vaultsecret...`` is OCI Vault; ``aws-sm:NAME`` or an ARN is Secrets Manager, ``aws-ssm:NAME`` or an ARN is
SSM Parameter Store. ``#field`` after any of them picks one field of a JSON secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from keepstep.errors import ConfigError

_OCID = re.compile(r"ocid1\.vaultsecret\.[a-z0-9-]+\.[A-Za-z0-9-]*\.[A-Za-z0-9._-]+")
_ARN = re.compile(r"arn:aws[a-z-]*:(secretsmanager|ssm):[a-z0-9-]+:\d+:(secret:|parameter/)[\w/+=.@!-]+", re.ASCII)
_SERVICES = {"secretsmanager": ("aws-sm", "secret:"), "ssm": ("aws-ssm", "parameter/")}
_NAMES = {
    "aws-sm": re.compile(r"[\w/+=.@!-]{1,512}", re.ASCII),
    "aws-ssm": re.compile(r"[\w/.-]{1,2048}", re.ASCII),
}
_FORMS = (
    "ocid1.vaultsecret…, aws-sm:NAME, aws-ssm:NAME or the ARN of either; #field picks one field of a JSON secret"
)


@dataclass(frozen=True, slots=True)
class SecretAddress:
    """One secret in one vault, or one field of it. Prints as it was written."""

    vault: str
    """``oci-vault``, ``aws-sm`` or ``aws-ssm``."""
    name: str
    """What the vault knows it by: OCID, name or ARN."""
    field: str = ""
    text: str = ""

    @property
    def cloud(self) -> str:
        """``aws`` or ``oci``."""
        return self.vault.split("-")[0]

    def is_same(self, other: SecretAddress) -> bool:
        """Whether both name one secret, be it by its name or by its ARN."""
        return self.vault == other.vault and bool(self._names & other._names)

    @property
    def _names(self) -> set[str]:
        """What it may be called; an ARN of Secrets Manager has six random characters after the name."""
        if not self.name.startswith("arn:"):
            return {self.name.removeprefix("/")}
        if self.vault == "aws-ssm":
            return {self.name, self.name.partition(":parameter/")[2]}
        given = self.name.partition(":secret:")[2]
        return {self.name, given, given[:-7] if given[-7:-6] == "-" else given}

    def __str__(self) -> str:
        return self.text or f"{self.vault}:{self.name}" + (f"#{self.field}" if self.field else "")


def parse(text: str, *, bare: str = "") -> SecretAddress:
    """The address; where a setting says so, a ``bare`` name or path is one of that vault's.

    Raises :class:`ConfigError` without repeating the text: somebody may have put a secret in its place.
    """
    name, hash_sign, field = text.partition("#")
    if hash_sign and not field:
        raise ConfigError("the field's name is missing behind the #", hint=_FORMS)
    if _OCID.fullmatch(name):
        return SecretAddress("oci-vault", name, field, text)
    vault, colon, rest = name.partition(":")
    if colon and vault in _NAMES and (_NAMES[vault].fullmatch(rest) or _is_arn_of(vault, rest)):
        return SecretAddress(vault, rest, field, text)
    if (arn := _ARN.fullmatch(name)) and arn[2] == _SERVICES[arn[1]][1]:
        return SecretAddress(_SERVICES[arn[1]][0], name, field, text)
    if bare in _NAMES and _NAMES[bare].fullmatch(name) and not name.startswith("ocid1."):
        return SecretAddress(bare, name, field, f"{bare}:{text}")
    if name.startswith("ocid1."):
        raise ConfigError(f"the OCID of a {name.split('.')[1] or 'thing'} is not a secret's", hint=_FORMS)
    raise ConfigError("not the address of a secret", hint=_FORMS)


def _is_arn_of(vault: str, text: str) -> bool:
    arn = _ARN.fullmatch(text)
    return arn is not None and _SERVICES[arn[1]] == (vault, arn[2])


def region_of_arn(name: str) -> str | None:
    """The region in an ARN; None for a plain name."""
    return name.split(":")[3] if name.startswith("arn:") else None
