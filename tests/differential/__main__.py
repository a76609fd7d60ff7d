"""``python -m tests.differential``: thousands of cases, and every one in which keepstep and the AWS CLI differ."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time

from tests.differential.campaign import work

_AT_ONCE = 100
"""Cases that one process does before it says how they went."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--cases", type=int, default=4000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    began = time.monotonic()
    stop = given.first + given.cases
    tasks = [(first, min(stop, first + _AT_ONCE)) for first in range(given.first, stop, _AT_ONCE)]
    done = found = 0
    with multiprocessing.get_context("spawn").Pool(given.jobs, maxtasksperchild=1) as pool:
        for differences, cases in pool.imap_unordered(work, tasks):
            done, found = done + cases, found + len(differences)
            print(*differences, sep="\n\n", end="\n\n" if differences else "")
            print(f"{done} cases, {found} differences, {time.monotonic() - began:.0f} s", flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
