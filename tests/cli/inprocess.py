"""The command in this process: without an interpreter's start, for tests that call it many times."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from keepstep.cli import main
from tests.cli.conftest import Ran


def keepstep(*words: str, env: Mapping[str, str | None] | None = None) -> Ran:
    """Runs it; ``env`` replaces variables, and removes those that are None."""
    out, err = io.StringIO(), io.StringIO()
    given = {name: value for name, value in (env or {}).items() if value is not None}
    removed = [name for name, value in (env or {}).items() if value is None]
    with mock.patch.dict(os.environ, given), redirect_stdout(out), redirect_stderr(err):
        for name in removed:
            os.environ.pop(name, None)
        try:
            main(list(words), prog_name="keepstep")
        except SystemExit as exit_:
            code = exit_.code
    return Ran(int(code or 0), out.getvalue(), err.getvalue())
