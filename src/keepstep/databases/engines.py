"""The engines there are, and what is known of each without its driver."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What is known of an engine without its driver."""

    name: str
    """As users write it."""
    module: str = ""
    """Of its adapter in this package, if it is not the engine's name."""
    extra: str = ""
    """What ``pip install 'keepstep[…]'`` brings its driver, likewise."""
    port: int
    """The default port."""
    two_passwords: str = ""
    """The strategy by which one user has two; empty where it has one."""
    locks_accounts: bool = True
    """Whether logins that fail may lock an account."""
    has_wallet: bool = False
    """Whether a wallet may say whom to trust."""
    more_failures: str
    """The statement that lets more logins fail before ``{user}`` is locked."""


class Engine(StrEnum):
    """In the order in which passwords are changed: the strictest first, so that a refusal comes first too.

    A member is what users call the engine. Its adapter, the module of that name, has what
    :class:`~keepstep.databases.adapters.Adapter` says.
    """

    facts: EngineFacts

    ORACLE = EngineFacts(
        name="oracle",
        port=2484,  # for TLS
        two_passwords="rollover",
        has_wallet=True,
        more_failures="ALTER PROFILE <the profile of {user}> LIMIT FAILED_LOGIN_ATTEMPTS 5",
    )
    MYSQL = EngineFacts(
        name="mysql",
        port=3306,
        two_passwords="dual",
        more_failures="ALTER USER '{user}'@'%' FAILED_LOGIN_ATTEMPTS 5 PASSWORD_LOCK_TIME 1",
    )
    MARIADB = EngineFacts(
        name="mariadb",
        module="mysql",
        extra="mysql",
        port=3306,
        more_failures="SET GLOBAL max_password_errors = 5",
    )
    POSTGRES = EngineFacts(
        name="postgres", port=5432, locks_accounts=False, more_failures="allow {user} more failed logins"
    )

    def __new__(cls, facts: EngineFacts) -> Engine:
        member = str.__new__(cls, facts.name)
        member._value_ = facts.name
        member.facts = facts
        return member

    @property
    def extra(self) -> str:
        return self.facts.extra or self.facts.name
