"""Secrets as variables."""

from __future__ import annotations

import asyncio

import pytest

from keepstep.errors import ConfigError, Error, NotFound
from keepstep.secrets.environment import environment_of, variable_of
from keepstep.secrets.map import parse_map
from keepstep.secrets.plan import make_plan
from keepstep.vaults.memory import MemoryVault


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/run/secrets/db_password", "DB_PASSWORD"),
        ("/run/secrets/tls.key", "TLS_KEY"),
        ("/x/2fa-code", "2FA_CODE"),
        ("/x/caf\u00e9", "CAF_"),
        ("/x/stra\u00dfe\U0001f986", "STRA_E_"),
        ("/x/a b\udce9", "A_B_"),
    ],
)
def test_names(path: str, name: str) -> None:
    """The base name in capitals, everything but letters and digits as an underscore."""
    assert variable_of(path) == name


def environment(*lines: str, **secrets: bytes) -> dict[bytes, bytes]:
    vault = MemoryVault()
    for name, content in secrets.items():
        vault.put(name, content)
    plan = make_plan(parse_map("\n".join(lines).encode(), "m"))
    return asyncio.run(environment_of(plan, {"aws-sm": vault}))


def test_values_are_exact() -> None:
    """Bytes arrive as they are, line breaks at the end and bytes that are no text included."""
    made = environment("aws-sm:a,/r/a", "aws-sm:b#f,/r/b", a=b"\xff x\n\n", b=b'{"f": "v"}')
    assert made == {b"A": b"\xff x\n\n", b"B": b"v"}


def test_a_nul_cannot_be_held() -> None:
    """A value with a NUL is refused, not cut."""
    with pytest.raises(ConfigError, match="NUL"):
        environment("aws-sm:a,/r/a", a=b"x\0y")


def test_one_name_for_two_secrets() -> None:
    """Two files that would be the same variable are refused; the same secret twice is one variable."""
    with pytest.raises(ConfigError, match="both be the variable X_Y"):
        environment("aws-sm:a,/r/x.y", "aws-sm:b,/q/x-y", a=b"1", b=b"2")
    assert environment("aws-sm:a,/r/x", "aws-sm:a,/q/x", a=b"1") == {b"X": b"1"}


def test_half_of_the_secrets_is_none() -> None:
    """A bad line, or a secret that cannot be had, is an error that says which."""
    with pytest.raises(Error, match="m line 2"):
        environment("aws-sm:a,/r/a", "nonsense", a=b"1")
    with pytest.raises(NotFound, match="fetch aws-sm:b failed"):
        environment("aws-sm:a,/r/a", "aws-sm:b,/r/b", a=b"1")
