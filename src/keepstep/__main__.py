"""Runs the command ``keepstep`` as ``python -P -m keepstep``."""

from keepstep import lifeline
from keepstep.cli import main

if __name__ == "__main__":
    lifeline.hold()
    main()
