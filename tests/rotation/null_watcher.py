"""A watcher that keeps what it hears."""

from __future__ import annotations

from keepstep.runs.report import Action, Failure


class Silence:
    """Hears everything, says nothing."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def said(self, text: str) -> None:
        self.heard.append(text)

    def did(self, action: Action) -> None:
        self.heard.append(f"{action.reason} {action.target}")

    def failed(self, failure: Failure) -> None:
        self.heard.append(f"{failure.error} / {failure.hint}")

    def warned(self, text: str) -> None:
        self.heard.append(text)

    @property
    def text(self) -> str:
        return "\n".join(self.heard)
