"""An engine is its adapter, its errors, one member of ``Engine``, one row of the docs: nothing else names it."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from keepstep.config import Config
from keepstep.databases.adapters import adapter_of
from keepstep.databases.endpoint import Endpoint, Reach
from keepstep.databases.engines import Engine
from keepstep.databases.interface import Login
from keepstep.databases.oracle import OracleDatabase
from keepstep.rotation.changes import Strategy
from keepstep.secret import Secret

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/keepstep"
LOGIN = Login("app user", Secret("p'w\\d@1"))


def test_no_engine_is_named_elsewhere() -> None:
    """What differs from engine to engine is asked of the engine; only the stand-in of the tests plays one."""
    named = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if "databases" not in path.parts and "testing" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in {f"Engine.{each.name}" for each in Engine}
    ]
    assert named == []


@pytest.mark.parametrize("engine", Engine)
def test_every_engine_is_complete(engine: Engine) -> None:
    """It opens a database, has strings for clients, a driver to install, a known strategy and documentation."""
    where = Endpoint(engine, "db.example.com", engine.facts.port, "app")
    database = adapter_of(engine).open_database(Reach(where))
    assert database.engine is engine and database.name.endswith(f"app@db.example.com:{engine.facts.port}")
    assert {"url", "jdbc"} <= set(adapter_of(engine).connection_strings(where, LOGIN))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert engine.extra in extras
    assert engine.facts.two_passwords in {"", *(each.value for each in Strategy if each.keeps_two)}
    assert engine.value in (ROOT / "docs/databases.md").read_text()
    assert "{user}" not in engine.facts.more_failures.format(user="app")


def test_the_configuration_takes_every_engine() -> None:
    """The schema for editors names them all, and no other."""
    schema = Config.model_json_schema()["$defs"]["Database"]["properties"]["engine"]
    assert schema["enum"] == [each.value for each in Engine]


@pytest.mark.parametrize(
    ("engine", "kind", "expected"),
    [
        (Engine.POSTGRES, "url", "postgresql://app%20user:p%27w%5Cd%401@h:1/a%2Fb?sslmode=verify-full"),
        (
            Engine.POSTGRES,
            "sqlalchemy",
            "postgresql+psycopg://app%20user:p%27w%5Cd%401@h:1/a%2Fb?sslmode=verify-full",
        ),
        (
            Engine.POSTGRES,
            "libpq",
            r"host='h' port='1' dbname='a/b' user='app user' password='p\'w\\d@1' sslmode='verify-full'",
        ),
        (Engine.MYSQL, "url", "mysql://app%20user:p%27w%5Cd%401@h:1/a%2Fb?ssl-mode=VERIFY_IDENTITY"),
        (
            Engine.MYSQL,
            "jdbc",
            "jdbc:mysql://h:1/a%2Fb?user=app%20user&password=p%27w%5Cd%401&sslMode=VERIFY_IDENTITY",
        ),
        (
            Engine.MARIADB,
            "jdbc",
            "jdbc:mariadb://h:1/a%2Fb?user=app%20user&password=p%27w%5Cd%401&sslMode=verify-full",
        ),
        (
            Engine.MARIADB,
            "sqlalchemy",
            "mariadb+pymysql://app%20user:p%27w%5Cd%401@h:1/a%2Fb?ssl_verify_identity=true",
        ),
        (Engine.ORACLE, "url", "oracle+oracledb://app%20user:p%27w%5Cd%401@tcps://h:1/a/b"),
        (Engine.ORACLE, "easy_connect", "tcps://h:1/a/b"),
    ],
)
def test_clients_get_the_strings_that_they_know(engine: Engine, kind: str, expected: str) -> None:
    """Names and passwords are quoted as each kind of client reads them; TLS is verified to the name in all."""
    strings = adapter_of(engine).connection_strings(Endpoint(engine, "h", 1, "a/b"), LOGIN)
    assert strings[kind] == expected


def test_an_oracle_dsn_goes_before_host_and_port() -> None:
    """What stands in ``dsn`` is what is connected to."""
    reach = Reach(Endpoint(Engine.ORACLE, "", 0, "h:1522/s"), "h:1522/s")
    database = adapter_of(Engine.ORACLE).open_database(reach)
    assert isinstance(database, OracleDatabase) and database.name == "oracle s@h:1522"
