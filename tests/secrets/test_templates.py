"""Files made from several secrets."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from pathlib import Path

import pytest
from dotenv import dotenv_values
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
        "{{ db[key] }}",
        "{{ db.nested[key] }}",
        "{{ db | attr(key) }}",
        "{{ [db] | map(attribute=key) | list }}",
        "{{ [1] | map(key) | list }}",
        "{{ [1, 2] | sort(attribute=key) }}",
        "{% include key %}",
        "{% extends key %}",
        "{{ self[key] }}",
        "{{ binary == 'x' }}",
        "{% if binary %}x{% endif %}",
        "{{ binary | upper }}",
        "{{ null.f }}",
        "{{ null['f'] }}",
        "{{ half.f }}",
        "{{ deep.f }}",
        "{{ deep }}{{ deep.f.x }}",
        "{{ db.address }}{{ db._address }}",
        "{{ key | dotenv('nobody') }}",
        "{{ key.fields }}",
        "{% macro m(x) %}{{ m(x) }}{% endmacro %}{{ m(key) }}",
        "{{ key * 10**12 }}",
        "{{ db.password % 3 }}",
        "{{ cycler(key)[key] }}",
    ],
)
def test_whatever_is_not_right_is_an_error(text: str) -> None:
    """Missing names and fields, Python's insides, other files and broken templates; no error shows a secret."""
    with pytest.raises(ConfigError) as refusal:
        render(
            text,
            db=DATABASE,
            key=b"S3cr3t",
            binary=b"\xff S3cr3t",
            null=b'{"f": null}',
            half=b'{"f": "S3cr3t \\ud800"}',
            deep=b'{"f": ' + b"[" * 900 + b'"S3cr3t"' + b"]" * 900 + b"}",
        )
    assert "S3cr3t" not in f"{refusal.value}{refusal.value.hint}{refusal.value.__cause__!r}"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{% if env == 'prod' %}yes{% else %}no{% endif %}", "yes"),
        ("{% if 'prod' == env and env != 'test' and env in ['prod'] %}yes{% endif %}", "yes"),
        ("{% if empty %}yes{% else %}no{% endif %}", "no"),
        ("{% if env is string and env is eq('prod') and env is lower %}yes{% endif %}", "yes"),
        (
            "{{ env | pprint }} {{ env | tojson }} {{ env | length }} {{ env | replace('p', 'b') }}",
            "'prod' \"prod\" 4 brod",
        ),
        (
            "{{ env ~ '-' ~ env + '!' }} {{ env[0] }}{{ env[1:] }} {{ env.upper() }} {{ env * 2 }}",
            "prod-prod! prod PROD prodprod",
        ),
        ("{{ {'prod': 'p.example'}[env] }} {{ 'x%sx' % env }} {{ 'x{}x'.format(env) }}", "p.example xprodx xprodx"),
        ("{% for c in env %}{{ c }},{% endfor %}", "p,r,o,d,"),
        ("{{ db.title }} {{ db.items }} {{ db.nested.values }} {{ db['title'] }}", "t i v t"),
        ("{{ db.price }} {{ db.port + 1 }} {{ db.tls }} {{ db.price * 2 }}", "1.10 5433 true 2.2"),
        ("{% if db.tls %}tls{% endif %} {% if db.port == 5432 %}5432{% endif %}", "tls 5432"),
        (
            "{{ db.none | default('d') }} {{ db.nothing | default('d') }} {% if db.none is defined %}x{% endif %}",
            "d d ",
        ),
        ("{{ db.list }} {{ db.nested }}", '[1,2.50] {"values":"v"}'),
        ("{{ db | attr('title') }} {{ [db] | map(attribute='title') | join }} {{ db[env2] }}", "t t t"),
    ],
)
def test_a_value_is_the_text_it_is(text: str, made: str) -> None:
    """Operators, tests and filters see a secret's text, fields go before methods, and numbers stay as written."""
    fields = (
        b'{"title": "t", "items": "i", "nested": {"values": "v"}, "price": 1.10, "port": 5432, "tls": true,'
        b' "none": null, "list": [1, 2.50]}'
    )
    assert render(text, env=b"prod", empty=b"", db=fields, env2=b"title") == made.encode()


def test_an_error_names_the_line() -> None:
    """What goes wrong while rendering names the template, its line, and what the template itself calls it."""
    with pytest.raises(ConfigError, match=r"^template, line 3: aws-sm:db has no field nothing$"):
        render("a\nb\n{{ db.nothing }}\n", db=DATABASE)
    with pytest.raises(ConfigError, match=r"^template, line 2: nobody is not among the secrets of this template$"):
        render("a\n{{ nobody }}", db=DATABASE)
    with pytest.raises(ConfigError, match=r"^template, line 1: aws-sm:binary is not text"):
        render("{{ binary }}", binary=b"\xff")


def test_a_broken_template_is_found_before_anything_is_fetched() -> None:
    """A template that does not parse cannot even be made, and the line is named."""
    with pytest.raises(ConfigError, match="line 2"):
        Template("fine\n{% if %}", {})


_CHARACTERS = "'\"\\$`\n {}()#=!%anxrt0;*~\u00e9\t"


@given(st.lists(st.text(_CHARACTERS, max_size=8), min_size=1, max_size=30))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_dotenv_comes_back_from_a_shell_and_from_python_dotenv(tmp_path: Path, values: list[str]) -> None:
    """Whatever is written for all readers is read back exactly by the two that are here; the rest is refused."""
    path, kept = tmp_path / "x.env", dict[str, str]()
    lines = []
    for number, value in enumerate(values):
        with contextlib.suppress(ConfigError):
            lines.append(f"V{number}=".encode() + render("{{ v | dotenv }}\n", v=value.encode()))
            kept[f"V{number}"] = value
    path.write_bytes(b"".join(lines))
    assert dotenv_values(path) == kept
    script = f"set -a; . {shlex.quote(str(path))}; exec /usr/bin/env -0"
    ran = subprocess.run(["sh", "-c", script], capture_output=True, check=True, env={})
    read = dict(line.partition("=")[::2] for line in ran.stdout.decode().split("\0"))
    assert {name: read[name] for name in kept} == kept


@pytest.mark.parametrize(
    ("value", "readers", "written"),
    [
        ("it's $5", (), None),
        ("it's $5", ("shell", "systemd"), b'"it\'s \\$5"'),
        ("it's $5", ("python",), b'"it\'s $5"'),
        ("it's `x`", ("compose", "python"), b'"it\'s `x`"'),
        ("${HOME}", (), None),
        ("${HOME}", ("shell", "systemd", "compose"), b"'${HOME}'"),
        ("a\\\\b", (), b'"a\\\\\\\\b"'),
        ("a\\", (), b'"a\\\\"'),
        ("a\\", ("shell",), b"'a\\'"),
        ("a\rb", (), None),
        ("a\rb", ("shell",), b"'a\rb'"),
        ("a\x07b", ("systemd",), None),
        ("a\0b", ("shell",), None),
    ],
)
def test_what_no_quoting_can_do_is_refused(value: str, readers: tuple[str, ...], written: bytes | None) -> None:
    """A value that readers would take differently is refused, unless the template names who reads the file."""
    named = f"({', '.join(map(repr, readers))})" if readers else ""
    text = f"{{{{ v | dotenv{named} }}}}"
    if written is not None:
        assert render(text, v=value.encode()) == written
        return
    with pytest.raises(ConfigError, match="template, line 1: a value holds") as refusal:
        render(text, v=value.encode())
    assert value not in f"{refusal.value}{refusal.value.hint}"


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
