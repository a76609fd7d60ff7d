"""Which modules decide, and which tests are nearest to each. None of these tests needs a server."""

from __future__ import annotations

NEAREST: dict[str, tuple[str, ...]] = {
    "objects/blocks": ("objects/test_blocks", "objects/test_join"),
    "objects/filters": ("objects/test_filters", "objects/test_reach"),
    "objects/guard": ("objects/test_guard",),
    "objects/high_water": ("objects/test_high_water",),
    "objects/plan": ("objects/test_plan",),
    "secrets/diff": ("secrets/test_diff",),
    "secrets/plan": ("secrets/test_plan",),
    "rotation/changes": ("rotation/test_changes",),
    "rotation/pace": ("rotation/test_pace",),
    "rotation/rows": ("rotation/test_rows",),
    "schedules/claims": ("schedules/test_claims",),
    "schedules/cron": ("schedules/test_schedule",),
    "schedules/schedule": ("schedules/test_schedule",),
    "monitoring/alerts": ("monitoring/test_alerts",),
    "runs/liveness": ("schedules/test_scheduler",),
}
"""Under ``src/keepstep`` and under ``tests``, without the ending."""
