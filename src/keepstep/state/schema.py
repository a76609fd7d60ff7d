"""The tables of the state: understood by SQLite and PostgreSQL alike. Times are seconds since 1970, UTC.

Each step migrates the tables from one version to the next. Writers apply missing steps; readers accept any version.
"""

from __future__ import annotations

_FIRST = (
    "CREATE TABLE run ("
    " id TEXT PRIMARY KEY, job TEXT NOT NULL, kind TEXT NOT NULL, host TEXT NOT NULL, cause TEXT NOT NULL,"
    " due DOUBLE PRECISION, queued DOUBLE PRECISION NOT NULL, started DOUBLE PRECISION,"
    " seen DOUBLE PRECISION NOT NULL, finished DOUBLE PRECISION, outcome TEXT NOT NULL, exit_code INTEGER,"
    " source TEXT, target TEXT, bytes BIGINT NOT NULL, price DOUBLE PRECISION NOT NULL,"
    " counts TEXT NOT NULL, requests TEXT NOT NULL, progress TEXT)",
    "CREATE INDEX run_by_job ON run (job, queued)",
    "CREATE INDEX run_by_end ON run (job, finished)",
    "CREATE INDEX run_by_time ON run (finished)",
    "CREATE INDEX run_open ON run (outcome)",
    # The records of a run: its failures, warnings and actions, in order.
    "CREATE TABLE line ("
    " run TEXT NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL,"
    " PRIMARY KEY (run, number))",
    # What is known of a job even after its runs have been pruned.
    "CREATE TABLE job ("
    " name TEXT PRIMARY KEY, first_seen DOUBLE PRECISION NOT NULL, due DOUBLE PRECISION,"
    " last_success DOUBLE PRECISION, last_new DOUBLE PRECISION)",
    "CREATE TABLE total ("
    " job TEXT NOT NULL, name TEXT NOT NULL, label TEXT NOT NULL, value DOUBLE PRECISION NOT NULL,"
    " PRIMARY KEY (job, name, label))",
    "CREATE TABLE alert ("
    " job TEXT NOT NULL, condition TEXT NOT NULL, since DOUBLE PRECISION NOT NULL,"
    " told DOUBLE PRECISION NOT NULL, times INTEGER NOT NULL, text TEXT NOT NULL,"
    " PRIMARY KEY (job, condition))",
    "CREATE TABLE message ("
    " id TEXT PRIMARY KEY, channel TEXT NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL, is_bad INTEGER NOT NULL,"
    " created DOUBLE PRECISION NOT NULL, attempts INTEGER NOT NULL, next DOUBLE PRECISION NOT NULL, error TEXT)",
    "CREATE TABLE keepstep_schema (version INTEGER NOT NULL)",
    "INSERT INTO keepstep_schema VALUES (1)",
)
_SECOND = (
    # Daemons that share the state, so that they can share the work.
    "CREATE TABLE daemon (id TEXT PRIMARY KEY, host TEXT NOT NULL, seen DOUBLE PRECISION NOT NULL)",
    "ALTER TABLE run ADD COLUMN daemon TEXT",
    "CREATE INDEX run_by_queue ON run (queued)",
    # Earlier versions could leave a finished run open, which blocked its job.
    "UPDATE run SET outcome = 'lost' WHERE finished IS NOT NULL AND outcome IN ('queued', 'running')",
    # When a daemon last confirmed the condition.
    "ALTER TABLE alert ADD COLUMN seen DOUBLE PRECISION",
    "UPDATE keepstep_schema SET version = 2",
)

STEPS = (_FIRST, _SECOND)
"""Step ``n`` creates version ``n + 1``."""

VERSION = len(STEPS)
