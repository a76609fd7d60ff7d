"""Whatever a value has in it, it is read back as it was, and no text begins a line of its own."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.config import literal, load
from keepstep.drafts.draft import Draft, duration
from keepstep.errors import ConfigError
from keepstep.units import parse_duration

texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(alphabet="${}HOME_a\"'\\\n\r\t#=[]\x7f\x00é計"),
)


@settings(deadline=None)
@given(texts, texts, texts)
def test_values_and_names_are_read_back(value: str, name: str, words: str) -> None:
    """By the standard library's reader: quotes, line breaks, control characters, other scripts."""
    draft = Draft(words)
    draft.steps.append(words)
    draft.ignored.append(words)
    draft.table("a", name or "x", comment=words)
    draft.set("k", value, words)
    draft.set("l", [value, "b"])
    draft.set("m", {"n": value})
    draft.off(words)
    draft.example(words, [words])
    found = tomllib.loads(draft.text)
    written = literal(value)
    assert found == {"a": {name or "x": {"k": written, "l": [written, "b"], "m": {"n": written}}}}


@settings(deadline=None)
@given(texts)
def test_variables_stand_for_themselves(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    """A value with ${NAME} in it is that text, and not what the environment has under the name."""
    draft = Draft("a test")
    draft.table("job", "x")
    draft.set("kind", "sync")
    draft.set("source", value)
    draft.set("target", "$${A}${B}$${")
    path = tmp_path_factory.getbasetemp() / "literal.toml"
    path.write_text(draft.text, encoding="utf-8", newline="")
    job = load(path).job["x"]
    assert job.kind == "sync" and (job.source, job.target) == (value, "$${A}${B}$${")


def test_a_doubled_dollar_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And a single one takes the variable, next to it too."""
    monkeypatch.setenv("A", "value")
    path = tmp_path / "keepstep.toml"
    path.write_text('[job.x]\nkind = "sync"\nsource = "$${A} ${A} $$${A}"\ntarget = "$$ $${ ${} $${1}"\n')
    job = load(path).job["x"]
    assert job.kind == "sync" and (job.source, job.target) == ("${A} value $${A}", "$$ $${ ${} $${1}")


def test_text_that_is_no_utf_8_is_refused() -> None:
    """By the name that its user knows."""
    with pytest.raises(ConfigError, match=r"^SYNC_FROM is not UTF-8"):
        Draft("a test").set("source", "a\udcffb", called="SYNC_FROM")


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0.0, 0.0), (1.5, 1.5), (90.0, "90s"), (1200.0, "20m"), (7200.0, "2h"), (86400.0, "1d")],
)
def test_durations_are_exact(seconds: float, written: str | float) -> None:
    """In the largest unit that has no rest."""
    assert duration(seconds) == written
    assert isinstance(written, float) or parse_duration(written).total_seconds() == seconds
