"""Which of the modes of :data:`tests.twisting.MODES` a sync has to get through, and which of them run every time."""

PASSED_BY: frozenset[str] = frozenset()
USABLE: frozenset[str] = frozenset()
ALWAYS: frozenset[str] = frozenset()
