"""The one error that this package reports to its user."""

from __future__ import annotations


class ConfigError(Exception):
    """A setting, a file or a port that cannot be used. ``hint`` says what to do next. Repeating does not help."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
