"""Whether an exchange still moves: neither silence, nor a drip that would never end, is waited for."""

from __future__ import annotations

LEAST_RATE = 256
"""Bytes a second, of request and answer together, averaged over the time that a silence may last. A link on which
a hundred connections share 256 kbit/s reaches it."""
_SLOW = 900.0
"""Seconds for the whole of an operation that keeps the line open with a blank now and then."""


class ExchangePace:
    """How one exchange after another moves on a connection. Times are the event loop's, sizes bytes.

    Until the first byte of the answer the server may think, which is silence. From then on, and while the request
    is being sent, a least rate is required, and the head of the answer must end within the time of a silence.
    """

    __slots__ = ("_base", "_head_since", "_is_slow", "_sent", "_since", "began", "last", "size", "taken")

    def __init__(self, now: float) -> None:
        self.begin(now, 0)

    def begin(self, now: float, size: int, *, is_slow: bool = False) -> None:
        """A request of ``size`` bytes, its head included, is about to be sent."""
        self.began = self.last = self._since = now
        self.size = size
        self.taken = self._base = self._sent = 0
        """``taken`` is what has been received."""
        self._head_since: float | None = None
        self._is_slow = is_slow

    def complaint(self, now: float, unsent: int, idle: float, *, has_head: bool) -> str | None:
        """What the other side does wrong, if anything. To be asked more often than every ``idle`` seconds."""
        sent = self.size - unsent
        if sent != self._sent:
            self._sent, self.last = sent, now
        if now - self.last > idle:
            return f"was silent for {idle:g} s"
        if self._is_slow:
            return f"did not end its answer within {_SLOW:g} s" if now - self.began > _SLOW else None
        if self.taken and not has_head:
            self._head_since = self._head_since or now
            if now - self._head_since > idle:
                return f"did not end the head of its answer within {idle:g} s"
        return self._rate(now, sent + self.taken, idle, is_thinking=not self.taken and unsent <= 0)

    def _rate(self, now: float, moved: int, idle: float, *, is_thinking: bool) -> str | None:
        time = now - self._since
        if not is_thinking:
            if time < idle or now - self.last > idle / 2:  # what has stopped is called silence
                return None
            if moved - self._base < LEAST_RATE * time:
                return f"moved only {moved - self._base} bytes in {time:.3g} s"
        self._since, self._base = now, moved
        return None
