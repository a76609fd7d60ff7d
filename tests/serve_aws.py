"""keepstep's local AWS as a process: serves until SIGTERM, or until its standard input ends with its parent."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from keepstep_localcloud.aws import LocalAws


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", type=Path)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--ready", type=Path, required=True, help="gets the environment as JSON when it serves")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with LocalAws(given.state) as aws:
        if aws_port := given.port:
            assert aws.url.endswith(f":{aws_port}")
        written = given.ready.with_suffix(".new")
        written.write_text(json.dumps(aws.env()))
        os.replace(written, given.ready)
        sys.stdin.buffer.read()


if __name__ == "__main__":
    main()
