"""docs/secrets.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

from keepstep.config import SecretsJob, job_of, load
from keepstep.secrets.map import parse_map
from keepstep.secrets.plan import make_plan
from keepstep.secrets.recipes import RECIPES
from keepstep.secrets.settings import SecretFile

TEXT = (Path(__file__).parents[2] / "docs" / "secrets.md").read_text()


def block(language: str) -> str:
    """The first block of code of that language."""
    found = re.search(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found
    return found[1]


def test_the_map_is_one() -> None:
    """Every line of the example makes sense."""
    found = parse_map(block("csv").encode())
    assert not found.mistakes
    assert len(found.rows) == 3


def test_the_configuration_is_one(tmp_path: Path) -> None:
    """The example is read as it stands; its files, with their templates and notices, and its set can be planned."""
    path = tmp_path / "keepstep.toml"
    path.write_text(block("toml").replace("www-data", "root"))
    job = job_of(load(path), "web")
    assert isinstance(job, SecretsJob)
    plan = make_plan(files=job.file, sets=job.set)
    assert not plan.mistakes
    assert len(plan.targets) == 4


def test_every_recipe_is_in_the_table() -> None:
    """Each recipe has its row, with what is notified and what that means, and there are no others."""
    rows = re.findall(r"^\| `([a-z]+)` \| (SIG[A-Z0-9]+|restart|nothing) \| (.*) \|$", TEXT, re.MULTILINE)
    assert {(name, what, meaning.replace("`", "")) for name, what, meaning in rows} == {
        (name, recipe.what or "nothing", recipe.meaning) for name, recipe in RECIPES.items()
    }


def test_every_key_is_in_the_table() -> None:
    """What a file may say is in the table of its keys."""
    table = TEXT.partition("| key of `file` |")[2].partition("\n\n")[0]
    keys = {key for row in table.splitlines() for key in re.findall(r"`([a-z_]+)`", row.split(" | ")[0])}
    assert keys == set(SecretFile.model_fields)
