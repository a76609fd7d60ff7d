"""Where ``pip install '.[demo]'`` in a working copy finds keepstep-localcloud: in the working copy.

The metadata name the release of the same version, and an sdist or a wheel built by ``uv build`` or by ``python -m
build`` keeps that; uv itself reads ``[tool.uv.sources]``. pip does not read that table: when pip builds, and the
folder exists, the requirement becomes the folder. hatchling recognizes pip by the same variable.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

NAME = "keepstep-localcloud"


class WorkingCopy(MetadataHookInterface):
    """Changes one requirement of the extra ``demo``, and nothing without a working copy or without pip."""

    def update(self, metadata: dict[str, Any]) -> None:
        folder = Path(self.root).absolute() / "localcloud"
        if "PIP_BUILD_TRACKER" not in os.environ or not (folder / "pyproject.toml").is_file():
            return
        demo = metadata["optional-dependencies"]["demo"]
        demo[:] = [f"{NAME} @ {folder.as_uri()}" if each.startswith(NAME) else each for each in demo]
