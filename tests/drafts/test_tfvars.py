"""terraform.tfvars: what is understood, what is refused by line, and the job that it becomes."""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

import hcl2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.drafts.cost_reports import draft_of_tfvars
from keepstep.drafts.tfvars import read_tfvars
from keepstep.errors import ConfigError

ROOT = Path(__file__).parents[2]
SEED = ROOT / "tests/deploy/oci_rclone_sync.tfvars"


def read(folder: Path, text: str, name: str = "terraform.tfvars") -> dict[str, Any]:
    path = folder / name
    path.write_text(text, newline="")
    return read_tfvars(path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"text"', "text"),
        ('"a\\"b\\\\c\\n\\t\\u00e9\\U0001F600"', 'a"b\\c\n\té😀'),
        ('"$${a} %%{b} $5 100% $"', "${a} %{b} $5 100% $"),
        ("12", 12),
        ("-1.5e3", -1500.0),
        ("true", True),
        ("false", False),
        ("null", None),
        ('["a", 1, true,]', ["a", 1, True]),
        ('[\n  "a", # one\n  "b",\n]', ["a", "b"]),
        ('{ name = "x", n = 1 }', {"name": "x", "n": 1}),
        ('{\n  "a b": 1\n  c = ["d"]\n}', {"a b": 1, "c": ["d"]}),
        ('<<EOT\n  a\n b "q"\nEOT', '  a\n b "q"\n'),
        ("<<-EOT\n    a\n      b\n\n  EOT", "a\n  b\n\n"),
        ("[]", []),
        ("{}", {}),
    ],
)
def test_values(tmp_path: Path, text: str, value: object) -> None:
    """Each kind, between comments of each kind."""
    whole = f"# one\n/* two\n x = 1 */ before = 1 // three\nx = {text}\n# four\n\nafter=2 # five"
    assert read(tmp_path, whole) == {"before": 1, "x": value, "after": 2}
    assert read(tmp_path, f"\ufeffx = {text}\n".replace("\n", "\r\n")) == {"x": value}


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ('a = 1\nb = "secret-${var.x}"', 2, "template"),
        ('a = 1\n\nb = upper("secret")', 3, "not understood"),
        ("a = 1 + 2", 1, "followed by"),
        ('a = "secret', 1, "not closed"),
        ('a = "secret\n"', 1, "not closed"),
        ("a = <<EOT\nsecret", 2, "not closed"),
        ("a = [1, 2", 1, "not closed"),
        ("a = [1 2]", 1, "not closed"),
        ("a = { b = 1 c = 2 }", 1, "not closed"),
        ("a = 1\na = 2", 2, "set twice"),
        ("a 1", 1, "= is missing"),
        ('resource "secret" "x" {\n}', 1, "= is missing"),
        ("a = 1 b = 2", 1, "followed by"),
        ("= 2", 1, "name of a variable"),
        ("a = " + "[" * 200, 1, "too deeply"),
    ],
)
def test_what_is_not_understood_is_refused_by_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    """Nothing is guessed, and nothing of the value is repeated: it may be a secret."""
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert f"terraform.tfvars line {line}: " in caught.value.message and says in caught.value.message
    assert "secret" not in caught.value.message and caught.value.hint


@settings(deadline=None)
@given(st.text(max_size=60) | st.text(alphabet='ab="[]{}<-EOT\n#/*$%\\,: 1.', max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """Nothing else comes out, and it ends."""
    path = tmp_path_factory.getbasetemp() / "any.tfvars"
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    with suppress(ConfigError):
        assert isinstance(read_tfvars(path), dict)


@pytest.mark.parametrize(
    "path",
    [SEED, *sorted((ROOT / "deploy/tofu").glob("*/terraform.tfvars.example"))],
    ids=lambda path: path.parent.name,
)
def test_it_reads_what_another_reader_reads(path: Path) -> None:
    """Names and simple values, against python-hcl2."""
    other = hcl2.load(io.StringIO(path.read_text()))
    found = read_tfvars(path)
    assert found.keys() == {name for name in other if not name.startswith("__")}
    for name, value in found.items():
        if isinstance(value, str) and "\n" not in value:
            assert other[name].strip('"') == value
        elif isinstance(value, bool | int):
            assert other[name] == value


def test_json_is_read_too(tmp_path: Path) -> None:
    """As OpenTofu does it, by the file's name."""
    assert read(tmp_path, '{"a": ["b"]}', "terraform.tfvars.json") == {"a": ["b"]}
    with pytest.raises(ConfigError):
        read(tmp_path, "[1]", "terraform.tfvars.json")


def test_secrets_are_not_copied_and_every_variable_counts() -> None:
    """Each variable of the old README is used or named; keys are in no line."""
    draft = draft_of_tfvars(SEED)
    values = read_tfvars(SEED)
    for secret in ("aws_access_key", "aws_secret_key"):
        assert values[secret] not in draft.text
    assert "PRIVATE KEY" not in draft.text and "bm90IGEga2V5" not in draft.text
    used = (
        "region tenancy_ocid aws_s3_bucket_name aws_s3_prefix aws_region oci_api_key_fingerprint"
        " oci_rclone_user_email alert_email_address"
    ).split()
    for name in used:
        assert str(values[name]) in draft.text, name
    for name in values.keys() - set(used):
        assert name in draft.text, name


def test_unknown_and_wrong_variables_are_named(tmp_path: Path) -> None:
    """An unknown one in a comment; a missing one, and one of another kind, as errors."""
    path = tmp_path / "x.tfvars"
    path.write_text('tenancy_ocid = "ocid1.tenancy.oc1..a"\naws_s3_bucket_name = "b"\nsurprise = "hidden"\n')
    draft = draft_of_tfvars(path)
    assert "surprise: not a known variable" in draft.ignored and "hidden" not in draft.text
    path.write_text('tenancy_ocid = "ocid1.tenancy.oc1..a"\n')
    with pytest.raises(ConfigError, match="aws_s3_bucket_name is missing"):
        draft_of_tfvars(path)
    path.write_text("tenancy_ocid = 5\n")
    with pytest.raises(ConfigError, match="tenancy_ocid is no text"):
        draft_of_tfvars(path)
