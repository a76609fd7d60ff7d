"""``python -m keepstep_localcloud``: the command of the same name."""

from __future__ import annotations

import sys

from keepstep_localcloud.command import main

sys.exit(main())
