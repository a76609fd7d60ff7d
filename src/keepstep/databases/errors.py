"""How databases fail a rotation, divided by what the caller does next."""

from __future__ import annotations

from enum import StrEnum

from keepstep.databases.interface import Answer, LoginProbe
from keepstep.errors import Error, Transient

__all__ = ["NotLoggedIn", "OutcomeUnknown", "PasswordRefused", "RefusalReason", "Unreachable"]


class NotLoggedIn(Error):
    """A session could not begin. Nothing was changed; ``probe`` says how the database answered."""

    def __init__(self, message: str, probe: LoginProbe, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.probe = probe

    @property
    def answer(self) -> Answer:
        return self.probe.answer

    @classmethod
    def of(cls, name: str, username: str, probe: LoginProbe) -> NotLoggedIn:
        """``name`` is the database's."""
        what = f"{name}: {username} cannot log in" + (f": {probe.why}" if probe.why else "")
        return cls(what, probe, hint=probe.fix or _HINTS.get(probe.answer))


_HINTS = {
    Answer.REJECT: "compare the secret with what the database's administrator has set",
    Answer.EXPIRED: "an administrator has to set the password",
    Answer.LOCKED: "find out who failed to log in, and unlock the account",
    Answer.UNREACHABLE: "check host and port, and that this machine may connect to them",
    Answer.TLS_ERROR: "name the authority that signed the server's certificate with ca, and the host as it does",
}


class Unreachable(Transient):
    """The connection died. What it was asked to read was not read; it changed nothing."""


class OutcomeUnknown(Error):
    """The connection died while a password was being changed, and the change may have been made or not."""


class RefusalReason(StrEnum):
    """Why a server does not take a password."""

    POLICY = "policy"
    """Its length or its characters: another password may do."""
    REUSE = "reuse"
    """The user has had it before, or has changed it too recently: a fresh one may do, this one will not."""


class PasswordRefused(Error):
    """The server does not take this password; nothing was changed."""

    def __init__(self, message: str, reason: RefusalReason, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
