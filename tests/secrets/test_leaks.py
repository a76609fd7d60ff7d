"""No secret stands anywhere but in the file that it was delivered to."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.secrets.hosts import CloudSecrets, Host
from tests.servers import Aws

CANARY = "c4n4ry/Pa55w0rd+of=Doom"
FORMS = [
    CANARY,
    base64.b64encode(CANARY.encode()).decode().rstrip("="),
    CANARY.encode().hex(),
    quote(CANARY, safe=""),
    CANARY[:10],
]
"""How it might be written somewhere."""


class Watch:
    """Collects everything that the commands say, and the command lines of every process meanwhile."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.said: list[tuple[str, str]] = []

    def run(self, *words: str, module: str = "keepstep", python: Sequence[str] = ()) -> int:
        """The exit code. ``python`` are options of the interpreter."""
        command = [sys.executable, *python, "-m", module, *words]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, cwd=self.host.folder, env=self.host.env, stdout=pipe, stderr=pipe, text=True
        ) as process:
            while True:
                try:
                    out, err = process.communicate(timeout=0.2)
                    break
                except subprocess.TimeoutExpired:
                    self.said.append(("the process list", "\n".join(command_lines())))
        self.said.append((" ".join(words), out + err))
        return process.returncode

    def check(self, *delivered: str) -> None:
        """Raises where the canary stands in anything that was said or written, but for the delivered files."""
        files = [path for path in self.host.folder.rglob("*") if path.is_file() and path.name not in delivered]
        written = [(str(path), path.read_bytes().decode("latin-1")) for path in files]
        assert len(written) >= 2
        for where, text in [*self.said, *written]:
            assert not [form for form in FORMS if form in text], f"the secret stands in {where}"


def command_lines() -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            yield path.read_bytes().decode("latin-1")
        except OSError:
            continue


@pytest.fixture
def watch(host: Host) -> Watch:
    return Watch(host)


def test_the_canary_would_be_found(watch: Watch) -> None:
    """The test itself notices a secret in an output and in a file."""
    watch.said.append(("somewhere", f"xx{FORMS[1]}yy"))
    for name in ("a", "b", "c"):
        (watch.host.folder / name).touch()
    with pytest.raises(AssertionError, match="somewhere"):
        watch.check()
    watch.said.clear()
    (watch.host.folder / "log").write_text(CANARY)
    with pytest.raises(AssertionError, match="log"):
        watch.check()


def test_nothing_leaks(watch: Watch, vault: CloudSecrets) -> None:
    """Delivered, changed, compared, handed to programs, and failing in every way that has a value at hand."""
    host = watch.host
    plain = vault.create(CANARY)
    document = vault.create(f'{{"password": "{CANARY}", "n": 1}}')
    host.write_map(
        host.line(plain, "plain", "0600", "nobody-here", "HUP"),
        host.line(f"{document}#password", "field"),
        host.line(f"{plain}#no-json", "broken"),
        host.line(f"{document}#missing", "broken2"),
    )
    map_ = str(host.map)
    assert watch.run("--verbose", "secrets", "apply", map_, python=["-X", "dev"]) == 1
    assert watch.run("secrets", "apply", map_, "--json") == 1
    assert watch.run("secrets", "drift", map_, "--json", "--fingerprint-key", plain) == 1
    assert watch.run("exec", "--map", map_, "--", "true") == 5
    vault.cloud.fault("GetSecretBundle", times=1, cut=120)
    assert watch.run(map_, module="keepstep.cli.oci_secretsync") == 1
    assert (host.run / "plain").read_text() == CANARY
    assert (host.run / "field").read_text() == CANARY
    watch.check("plain", "field")


def test_nothing_of_aws_leaks(watch: Watch, moto: Aws) -> None:
    """Text and bytes of Secrets Manager and a parameter: delivered, in a field that is missing, and compared."""
    host = watch.host
    host.env |= moto.env
    name = f"leak-{host.folder}".replace("/", "_")
    sm = moto.client("secretsmanager")
    sm.create_secret(Name=name, SecretString=CANARY)
    sm.create_secret(Name=f"{name}-bytes", SecretBinary=CANARY.encode())
    moto.client("ssm").put_parameter(Name=name, Value=CANARY, Type="SecureString")
    addresses = {"sm": f"aws-sm:{name}", "bytes": f"aws-sm:{name}-bytes", "ssm": f"aws-ssm:{name}"}
    lines = [host.line(address, file) for file, address in addresses.items()]
    host.write_map(*lines, host.line(f"aws-sm:{name}#missing", "broken"))
    assert watch.run("--verbose", "secrets", "apply", str(host.map), python=["-X", "dev"]) == 1
    assert watch.run("secrets", "drift", str(host.map), "--json") == 1
    assert [(host.run / file).read_text() for file in addresses] == [CANARY] * 3
    watch.check(*addresses)


def test_templates_leak_nothing(watch: Watch, vault: CloudSecrets) -> None:
    """A template that fails with a value in its hands says where, not what."""
    host = watch.host
    secret = vault.create(CANARY)
    tables = "".join(
        f'[[job.bad.file]]\npath = "{host.run}/{number}"\ntemplate = "{template}"\nsecrets = {{ s = "{secret}" }}\n'
        for number, template in enumerate(
            ["{{ s.field }}", "{{ s + 1 }}", "{{ s | round }}{{ '%d' | format(s) }}", "{{ s }}{{ 1 / 0 }}"]
        )
    )
    encoded = f'[[job.bad.file]]\npath = "{host.run}/e"\nsecret = "{secret}"\nencoding = "hex"\n'
    with (host.folder / "keepstep.toml").open("a") as config:
        config.write(f'[job.bad]\nkind = "secrets"\n{tables}{encoded}')
    assert watch.run("secrets", "apply", "bad") == 1
    assert host.files() == []
    watch.check()
