"""Secrets as variables."""

from __future__ import annotations

import asyncio

import pytest

from keepstep.errors import ConfigError, Error, NotFound
from keepstep.secrets.environment import chosen, environment_of, variable_of
from keepstep.secrets.map import parse_map
from keepstep.secrets.plan import make_plan
from keepstep.testing.vaults import MemoryVault


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


def environment(*lines: str, names: dict[str, str] | None = None, **secrets: bytes) -> dict[bytes, bytes]:
    vault = MemoryVault()
    for name, content in secrets.items():
        vault.put(name, content)
    plan = make_plan(parse_map("\n".join(lines).encode(), "m"))
    return asyncio.run(environment_of(plan, {"aws-sm": vault}, names=names))


def test_values_are_exact() -> None:
    """Bytes arrive as they are, line breaks at the end and bytes that are not text included."""
    made = environment("aws-sm:a,/r/a", "aws-sm:b#f,/r/b", a=b"\xff x\n\n", b=b'{"f": "v"}')
    assert made == {b"A": b"\xff x\n\n", b"B": b"v"}


@pytest.mark.parametrize(
    "file",
    "path ld_preload LD-LIBRARY.PATH bash_env bash_func_x ifs env ps4 shellopts pythonpath pythonstartup perl5opt"
    " node_options java_tool_options glibc.tunables git_ssh_command home 1token 9---2".split(),
)
def test_names_that_steer_programs_are_refused(file: str) -> None:
    """A file whose variable the loader, a shell or an interpreter would obey, or that is not a name, is refused."""
    with pytest.raises(ConfigError, match=r"would be the variable") as refusal:
        environment(f"aws-sm:a,/r/{file}", a=b"v")
    assert f"--env NAME=/r/{file}" in str(refusal.value.hint)
    assert environment(f"aws-sm:a,/r/{file}", names={f"/r/{file}": "x1"}, a=b"v") == {b"x1": b"v"}


def test_names_chosen_by_hand() -> None:
    """--env may choose any name, for a file that the map has; two files never become one variable."""
    assert environment("aws-sm:a,/r/path", names={"/r/path": "PATH"}, a=b"v") == {b"PATH": b"v"}
    with pytest.raises(ConfigError, match="the map has no file /r/b"):
        environment("aws-sm:a,/r/a", names={"/r/b": "B"}, a=b"v")
    with pytest.raises(ConfigError, match="would both be the variable B"):
        environment("aws-sm:a,/r/a", "aws-sm:b,/r/b", names={"/r/a": "B"}, a=b"v", b=b"w")
    assert chosen("A_1=/r//x") == ("/r/x", "A_1")
    for wrong in ("A", "1A=/r/x", "A=x", "=/r/x", "A B=/r/x"):
        with pytest.raises(ValueError, match=r"NAME=PATH|absolute"):
            chosen(wrong)


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
    """A bad line, or a secret that cannot be obtained, is an error that says which."""
    with pytest.raises(Error, match="m line 2"):
        environment("aws-sm:a,/r/a", "nonsense", a=b"1")
    with pytest.raises(NotFound, match="fetch aws-sm:b failed"):
        environment("aws-sm:a,/r/a", "aws-sm:b,/r/b", a=b"1")
