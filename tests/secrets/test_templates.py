"""Files made from several secrets."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from keepstep.errors import ConfigError
from keepstep.secret import Secret
from keepstep.secrets.delivery import Values
from keepstep.secrets.templates import Template
from keepstep.vaults.address import parse
from keepstep.vaults.interface import SecretValue, Version, VersionId

DATABASE = b'{"user": "app", "password": "p@ss/w:rd S3cr3t", "port": 5432, "nested": {"a": "b"}}'
NASTY = [
    "plain",
    "",
    "with space",
    "q'uote",
    'dq"',
    "back\\slash",
    "$HOME `id` $(id)",
    "line\nbreak",
    "# = : !",
    "ü 🦆",
]


def render(text: str, **contents: bytes) -> bytes:
    secrets = {name: parse(f"aws-sm:{name}") for name in contents}
    values: Values = {
        ("aws-sm", name): SecretValue(Version(id=VersionId("1")), Secret(content))
        for name, content in contents.items()
    }
    return Template(text, secrets).render(values)


def test_a_file_of_several_secrets() -> None:
    """Names are secrets, their attributes fields; what stands around them is kept to the last line break."""
    text = "URL=postgresql://{{ db.user }}:{{ db.password | urlencode }}@db:{{ db.port }}/app\nKEY={{ key }}\n\n"
    made = render(text, db=DATABASE, key=b"k\n")
    assert made == b"URL=postgresql://app:p%40ss/w%3Ard%20S3cr3t@db:5432/app\nKEY=k\n\n\n"


def test_nested_fields_and_jinjas_own_filters() -> None:
    """Objects in JSON are walked into; ``trim`` and the like work on a secret's text."""
    assert (
        render("{{ db.nested.a }} {{ db['user'] | upper }} {{ key | trim }}.", db=DATABASE, key=b" k \n")
        == b"b APP k."
    )


@pytest.mark.parametrize(
    "text",
    [
        "{{ nobody }}",
        "{{ db.nothing }}",
        "{{ db.user.more }}",
        "{{ key.field }}",
        "{{ db.password | int / 0 }}",
        "{{ db.password + 1 }}",
        "{{ db.__class__ }}",
        "{{ db._content }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ db.password.format_map }}{{ [].append(1).x }}",
        "{% include '/etc/passwd' %}",
        "{{ binary }}",
        "{{ db.password | nofilter }}",
        "{{ unclosed",
    ],
)
def test_whatever_is_not_right_is_an_error(text: str) -> None:
    """Missing names and fields, Python's insides, other files and broken templates; no error shows a secret."""
    with pytest.raises(ConfigError) as refusal:
        render(text, db=DATABASE, key=b"S3cr3t", binary=b"\xff S3cr3t")
    assert "S3cr3t" not in f"{refusal.value}{refusal.value.hint}{refusal.value.__cause__!r}"


def test_a_broken_template_is_found_before_anything_is_fetched() -> None:
    """A template that does not parse cannot even be made, and the line is named."""
    with pytest.raises(ConfigError, match="line 2"):
        Template("fine\n{% if %}", {})


@pytest.mark.parametrize("value", NASTY)
def test_dotenv_is_what_a_shell_reads(value: str, tmp_path: Path) -> None:
    """A value written with ``dotenv`` or ``shell`` comes back from a shell as it was."""
    for filter_ in ("dotenv", "shell"):
        path = tmp_path / "x.env"
        path.write_bytes(render(f"VALUE={{{{ v | {filter_} }}}}\n", v=value.encode()))
        script = f'. {shlex.quote(str(path))}; printf %s "$VALUE"'
        assert subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout == value.encode()


def test_properties_and_base64() -> None:
    """Java's properties escape what is special and what is not Latin; ``base64`` takes bytes of any kind."""
    assert render("p={{ v | properties }}", v=" a=b:c#d!e\\f\ng\u00fc\U0001f986".encode()) == (
        rb"p=\ a\=b\:c\#d\!e\\f\ng\u00fc\ud83e\udd86"
    )
    assert render("{{ v | base64 }}", v=b"\xff\0") == b"/wA="


def test_html_means_nothing_here() -> None:
    """Nothing is escaped that nobody asked to be escaped."""
    assert render("{{ v }}", v=b"<&'\">") == b"<&'\">"
