"""``python -m bench [ROW ...] [--runs N] [--write]``: the table of docs/performance.md, measured here and now."""

from __future__ import annotations

import argparse
import os
import platform
from pathlib import Path

from bench.report import markdown, write
from bench.rows import ROWS, Row, of_listings


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; all of them by default")
    parser.add_argument(
        "--runs", type=int, default=5, help="runs of each tool, a third of it for listings; medians"
    )
    parser.add_argument("--write", action="store_true", help="writes table and chart into docs/")
    options = parser.parse_args()
    done: list[Row] = []
    for name in options.rows or ROWS:
        for row in ROWS[name](options.runs):
            done.append(row)
            print(markdown([row], head=len(done) == 1), flush=True)
    if options.write:
        runs = f"medians of {options.runs} runs, of listings {of_listings(options.runs)}"
        machine = f"{runs}; {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
        write(done, Path("docs"), machine)


if __name__ == "__main__":
    main()
