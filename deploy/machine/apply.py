"""Puts a machine's configuration in place: files, programs, units. What is equal is not touched, nor restarted.

    apply.py STATE        STATE/fetched/configuration.json, and STATE/applied.json for the next time

The document: ``files`` by path (``text``, ``mode``, and ``then``: systemctl words that follow a change),
``programs`` by path (``url``, ``sha256``), ``enable`` (units that run), ``package``. Files of the last time that
are not in it any more are removed. Safe to repeat: what a change calls for is noted before the change, and done
by the next run if this one is interrupted.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

PLACES = ("/etc/keepstep/", "/etc/oci-secretsync/", "/etc/systemd/system/", "/etc/logrotate.d/", "/usr/local/bin/")
"""The folders that a configuration may write to."""
MOST = 200 << 20
"""Bytes of a program."""
KEEPSTEP = "/opt/keepstep/bin/keepstep"


def main(state: Path) -> int:
    document = json.loads((state / "fetched" / "configuration.json").read_text())
    noted = state / "applied.json"
    before = json.loads(noted.read_text()) if noted.exists() else {"files": [], "pending": []}
    wanted = {path: (each["text"].encode(), int(each["mode"], 8)) for path, each in document["files"].items()}
    for path in [*wanted, *document["programs"]]:
        if not path.startswith(PLACES) or "/../" in path or path.endswith(("/", "/..")):
            return fail(f"{path} is not a place for a configuration", f"places are {', '.join(PLACES)}")
    changed = [path for path, (content, mode) in wanted.items() if not is_equal(Path(path), content, mode)]
    gone = sorted(set(before["files"]) - wanted.keys() - document["programs"].keys())
    stale = [path for path, each in document["programs"].items() if digest(Path(path)) != each["sha256"]]
    pending = [list(words) for words in before["pending"]]
    # keepstep.toml last: what it names must be there when it is checked.
    last = [path for path in changed if path.endswith("/keepstep.toml")]
    for path in (path for path in changed if path not in last):
        pending += document["files"][path]["then"]
    is_new = (state / "is-new").exists()
    if stale or is_new:
        pending += [["restart", unit] for unit in document["enable"] if unit.endswith(".service")]
    note(noted, sorted({*before["files"], *wanted, *document["programs"]}), pending)
    for path in stale:
        fetch(path, **document["programs"][path])
    for path in (path for path in changed if path not in last):
        write(Path(path), *wanted[path])
    refused = ""
    for path in last:
        if refused := mistakes(wanted[path][0]):
            changed.remove(path)
            continue
        pending += document["files"][path]["then"]
        note(noted, sorted({*before["files"], *wanted, *document["programs"]}), pending)
        write(Path(path), *wanted[path])
    for path in gone:
        Path(path).unlink(missing_ok=True)
    if any(path.startswith("/etc/systemd/") for path in [*changed, *gone]):
        systemctl("daemon-reload")
    systemctl("enable", "--now", "--no-block", *document["enable"])
    for words in sorted({tuple(words) for words in pending}):
        systemctl("--no-block", *words)
    (state / "is-new").unlink(missing_ok=True)
    note(noted, sorted({*wanted, *document["programs"]}), [])
    for path in [*stale, *changed]:
        print(f"changed: {path}")  # noqa: T201
    for path in gone:
        print(f"removed: {path}")  # noqa: T201
    if refused:
        return fail(
            f"the new keepstep.toml is wrong; the machine keeps the old one\n{refused}", "correct it, and apply"
        )
    return 0


def is_equal(path: Path, content: bytes, mode: int) -> bool:
    try:
        return path.read_bytes() == content and path.stat().st_mode & 0o7777 == mode
    except OSError:
        return False


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def mistakes(content: bytes) -> str:
    """What ``keepstep config check`` says against it; nothing where variables of the service decide."""
    if b"${" in content:
        return ""
    with tempfile.NamedTemporaryFile(suffix=".toml") as file:
        file.write(content)
        file.flush()
        ran = subprocess.run(
            [KEEPSTEP, "--config", file.name, "config", "check"], capture_output=True, text=True, check=False
        )
    return "" if ran.returncode == 0 else ran.stderr + ran.stdout


def fetch(path: str, url: str, sha256: str) -> None:
    """Raises ``ValueError`` when it is not what it should be; then nothing is there that was not there before."""
    if not url.startswith("https://"):
        raise ValueError(f"{path}: only https:// is fetched")
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - https, as was just seen
        content = answer.read(MOST + 1)
    if hashlib.sha256(content).hexdigest() != sha256.lower():
        raise ValueError(f"{path}: the SHA-256 of what {url} gave is another one")
    write(Path(path), content, 0o755)


def write(path: Path, content: bytes, mode: int) -> None:
    """At once, with its mode from the beginning."""
    folder = path.parent
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o700 if folder.name == "credentials" else 0o755)
    descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{path.name}-")
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def note(path: Path, files: list[str], pending: list[list[str]]) -> None:
    write(path, json.dumps({"files": files, "pending": pending}).encode(), 0o600)


def systemctl(*words: str) -> None:
    subprocess.run(["systemctl", *words], check=True)


def fail(what: str, hint: str) -> int:
    print(f"error: {what}\nhint: {hint}", file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
