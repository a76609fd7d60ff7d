"""``python -m tests.differential``: thousands of cases, and every one in which keepstep and the AWS CLI differ."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time

from tests.differential.campaign import work


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("--cases", type=int, default=4000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    began = time.monotonic()
    stop = given.first + given.cases
    tasks = [(given.first + n, stop, given.jobs) for n in range(given.jobs)]
    with multiprocessing.get_context("spawn").Pool(given.jobs) as pool:
        found = [text for texts in pool.map(work, tasks) for text in texts]
    print(*found, sep="\n\n")
    print(f"{given.cases} cases, {len(found)} differences, {time.monotonic() - began:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
