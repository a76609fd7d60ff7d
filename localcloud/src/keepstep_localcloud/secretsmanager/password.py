"""GetRandomPassword."""

from __future__ import annotations

import secrets
import string
from typing import Any

from keepstep_localcloud.secretsmanager.model import invalid


def random_password(parameters: dict[str, Any]) -> str:
    """As the API reference of GetRandomPassword says; by default 32 characters with one of every type."""
    length = parameters.get("PasswordLength", 32)
    types = _types(parameters)
    alphabet = "".join(types)
    if not alphabet:
        raise invalid("InvalidParameterException: no characters are left to choose from.")
    required = types if parameters.get("RequireEachIncludedType", True) else []
    if len(required) > length:
        raise invalid("Password length is too short based on the required types.")
    chosen = [secrets.choice(kind) for kind in required]
    chosen += [secrets.choice(alphabet) for _ in range(length - len(chosen))]
    secrets.SystemRandom().shuffle(chosen)
    return "".join(chosen)


def _types(parameters: dict[str, Any]) -> list[str]:
    types = {
        "ExcludeLowercase": string.ascii_lowercase,
        "ExcludeUppercase": string.ascii_uppercase,
        "ExcludeNumbers": string.digits,
        "ExcludePunctuation": string.punctuation,
    }
    kept = [characters for name, characters in types.items() if not parameters.get(name)]
    kept += [" "] if parameters.get("IncludeSpace") else []
    excluded = set(parameters.get("ExcludeCharacters", ""))
    return [left for kind in kept if (left := "".join(c for c in kind if c not in excluded))]
