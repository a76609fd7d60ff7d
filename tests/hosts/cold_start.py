"""What an event costs a serverless host in CPU, median of five: ``python -m tests.hosts.cold_start``."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

_TOML = '[state]\nurl = "sqlite:///{0}/s.db"\n[job.c]\nkind = "sync"\nsource = "{0}/in"\ntarget = "{0}/out"\n'


def cpu(*words: str, folder: str) -> float:
    """Milliseconds, user and system."""
    costs = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *words], cwd=folder, capture_output=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return statistics.median(costs) * 1000


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "in").mkdir()
        Path(folder, "in", "a").write_text("1")
        Path(folder, "job.toml").write_text(_TOML.format(folder))
        for what, words in {
            "Python itself": ("-c", "pass"),
            "the handler of AWS Lambda, once": ("-c", "import keepstep.hosts.aws_lambda"),
            "the handler of OCI Functions with the fdk, once": ("-c", "import fdk, keepstep.hosts.oci_function"),
            "a sync of one file, each event": ("-m", "keepstep", "--config", "job.toml", "--quiet", "sync", "c"),
            "a rotation that finds no variables, each event": ("-m", "keepstep", "--json", "rotate"),
        }.items():
            print(f"{cpu(*words, folder=folder):6.0f} ms  {what}")


if __name__ == "__main__":
    main()
