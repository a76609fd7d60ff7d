"""``oci-secretsync [MAP]``: the name and the arguments of the script that keepstep replaces."""

from __future__ import annotations

import sys

from keepstep.cli import main as keepstep


def main() -> None:
    """The same as ``keepstep secrets apply [MAP]``."""
    keepstep.main(["secrets", "apply", *sys.argv[1:]], prog_name="keepstep")


if __name__ == "__main__":
    main()
