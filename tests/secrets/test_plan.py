"""From maps and settings to targets."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from keepstep.containers.interface import Kind, Notice
from keepstep.secrets.content import Whole
from keepstep.secrets.map import parse_map
from keepstep.secrets.plan import Plan, make_plan
from keepstep.secrets.recipes import RECIPES
from keepstep.secrets.settings import Notify, SecretFile, SecretSet, SetFile
from keepstep.secrets.templates import Template
from keepstep.vaults.address import parse

A, B = "ocid1.vaultsecret.oc1..aaaa", "ocid1.vaultsecret.oc1..bbbb"


def of_map(*lines: str) -> Plan:
    return make_plan(parse_map("\n".join(lines).encode(), "m"))


def test_lines_that_name_several_containers_of_one_file() -> None:
    """The same file for two containers is one target with two notices: the second is not forgotten."""
    plan = of_map(f"{A},/run/x,0600,web,HUP", f"{A},/run/x,0600,mail,USR1", f"{A},/run/x,0600,web,HUP")
    assert not plan.mistakes
    [target] = plan.targets
    assert target.notices == (Notice(Kind.CONTAINER, "web", "SIGHUP"), Notice(Kind.CONTAINER, "mail", "SIGUSR1"))


@pytest.mark.parametrize("second", [f"{B},/run/x", f"{A},/run/x,0644", f"{A}#field,/run/x", f"{B},/run//./x"])
def test_one_path_has_one_content(second: str) -> None:
    """Of two lines that want different things of one path the first has it, and the second is named."""
    plan = of_map(f"{A},/run/x", second, f"{B},/run/y")
    assert [target.path for target in plan.targets] == ["/run/x", "/run/y"]
    [mistake] = plan.mistakes
    assert mistake.where == "m line 2"
    assert "/run/x is delivered to already" in mistake.error.message


def test_a_file_in_several_places_with_an_owner() -> None:
    """Everything that the map cannot say arrives: places, owner by name and number, encoding, notices."""
    nobody = pwd.getpwnam("nobody")
    file = SecretFile.model_validate(
        {
            "path": ["/run/a", "/run/b"],
            "secret": f"{A}#key",
            "encoding": "base64",
            "mode": "0440",
            "owner": "nobody",
            "group": str(nobody.pw_gid),
            "notify": [{"label": "tier=web", "restart": True}, {"unit": "nginx.service"}],
        }
    )
    plan = make_plan(files=[file])
    assert not plan.mistakes
    assert [target.path for target in plan.targets] == ["/run/a", "/run/b"]
    for target in plan.targets:
        [delivery] = target.deliveries
        assert delivery.content == Whole(parse(f"{A}#key"), "base64")
        assert (delivery.attributes.mode, delivery.attributes.uid, delivery.attributes.gid) == (
            0o440,
            nobody.pw_uid,
            nobody.pw_gid,
        )
        assert target.notices == (
            Notice(Kind.LABEL, "tier=web", "restart"),
            Notice(Kind.UNIT, "nginx.service", "reload"),
        )


def test_a_set() -> None:
    """A set is one target with its files in its folder."""
    files = [{"name": "tls.crt", "secret": A, "mode": "0644"}, {"name": "tls.key", "secret": B}]
    group = SecretSet.model_validate({"path": "/run/tls", "file": files})
    [target] = make_plan(sets=[group]).targets
    assert target.folder == target.path == "/run/tls"
    assert [delivery.path for delivery in target.deliveries] == ["/run/tls/tls.crt", "/run/tls/tls.key"]


@pytest.mark.parametrize(
    ("kinds", "taken"), [("file set", "/run/tls/key"), ("set file", "/run/tls/key"), ("set set", "/run/tls")]
)
def test_a_set_shares_its_files_with_nobody(kinds: str, taken: str) -> None:
    """A set is exchanged as a whole, so a second target with one of its files is a mistake, whatever is in it."""
    group = SecretSet.model_validate({"path": "/run/tls", "file": [{"name": "key", "secret": A}]})
    file = SecretFile.model_validate({"path": "/run/tls/key", "secret": A})
    plan = Plan()
    for number, kind in enumerate(kinds.split()):
        part = make_plan(files=[file]) if kind == "file" else make_plan(sets=[group])
        plan.attempt(str(number), lambda part=part: part.targets)  # type: ignore[misc]
    assert len(plan.targets) == 1
    [mistake] = plan.mistakes
    assert (mistake.where, mistake.error.message.split()[0]) == ("1", taken)


@pytest.mark.parametrize("name", ["a/b", "../x", "..data", ".."])
def test_a_sets_files_are_in_its_folder(name: str) -> None:
    """A name that leads elsewhere, or is ours, is a mistake."""
    group = SecretSet.model_validate({"path": "/run/tls", "file": [{"name": name, "secret": A}]})
    plan = make_plan(sets=[group])
    assert not plan.targets
    assert plan.mistakes[0].where == "set 1"


def test_templates_come_from_files_too(tmp_path: Path) -> None:
    """``template_file`` is read and checked at once; what is missing or broken is a mistake with its path."""
    good, bad = tmp_path / "good.j2", tmp_path / "bad.j2"
    good.write_text("{{ db }}\n")
    bad.write_text("{{ db")
    files = [
        SecretFile.model_validate({"path": f"/run/{n}", "template_file": str(path), "secrets": {"db": A}})
        for n, path in enumerate((good, bad, tmp_path / "missing.j2"))
    ]
    plan = make_plan(files=files)
    assert [target.path for target in plan.targets] == ["/run/0"]
    assert [mistake.where for mistake in plan.mistakes] == ["file 2", "file 3"]
    assert all(str(tmp_path) in mistake.error.message for mistake in plan.mistakes)


def test_a_template_of_the_settings() -> None:
    """``template`` is the text itself, with the secrets that it names."""
    file = SecretFile.model_validate({"path": "/run/x", "template": "{{ db }}", "secrets": {"db": A}})
    [target] = make_plan(files=[file]).targets
    [delivery] = target.deliveries
    assert isinstance(delivery.content, Template)
    assert delivery.content.sources == (parse(A),)


def test_a_line_that_notifies_nobody() -> None:
    """A line without a container is delivered, and nobody is notified."""
    [target] = of_map(f"{A},/run/x").targets
    assert target.notices == ()


def test_a_name_twice_in_a_set() -> None:
    """Also where it is written in two ways: the set would hold one of the two, and nobody could say which."""
    files = [{"name": "key", "secret": A}, {"name": "key", "secret": B}]
    plan = make_plan(sets=[SecretSet.model_construct(path="/run/tls", file=_set_files(files), notify=[])])
    assert not plan.targets
    assert "the same name twice" in plan.mistakes[0].error.message


def _set_files(files: list[dict[str, str]]) -> list[SetFile]:
    return [SetFile.model_validate(file) for file in files]


def test_unknown_people() -> None:
    """A user or group that this host does not know is a mistake, not root."""
    files = [
        SecretFile.model_validate({"path": "/run/x", "secret": A, what: "no-such-name"})
        for what in ("owner", "group")
    ]
    messages = [mistake.error.message for mistake in make_plan(files=files).mistakes]
    missing = ["there is no user no-such-name", "there is no group no-such-name"]
    assert messages == [f"{text} on this machine" for text in missing]


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_recipes(recipe: str) -> None:
    """Each named recipe is the signal that its server expects; where none is needed none is sent."""
    file = SecretFile.model_validate(
        {"path": "/run/x", "secret": A, "notify": [{"container": "c", "recipe": recipe}]}
    )
    [target] = make_plan(files=[file]).targets
    what = RECIPES[recipe].what
    assert target.notices == ((Notice(Kind.CONTAINER, "c", what),) if what else ())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"container": "x"},
        {"container": "x", "label": "y", "signal": "HUP"},
        {"container": "x", "signal": "HUP", "restart": True},
        {"container": "x", "signal": "NOPE"},
        {"container": "x", "recipe": "nobody"},
        {"pid_file": "/x", "restart": True},
        {"pid_file": "/x", "recipe": "restart"},
        {"pid_file": "/x"},
    ],
)
def test_notices_that_make_no_sense(settings: dict[str, object]) -> None:
    """Whom and how must each be said once."""
    with pytest.raises(ValidationError):
        Notify.model_validate(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"secret": A, "template": "x"},
        {"template": "x"},
        {"template": "x", "secrets": {"a": A}, "encoding": "hex"},
        {"secret": A, "mode": 600},
        {"secret": A, "mode": "rw"},
        {"secret": A, "encoding": "rot13"},
    ],
)
def test_files_that_make_no_sense(settings: dict[str, object]) -> None:
    """Origin, mode and encoding are checked when the configuration is read."""
    with pytest.raises(ValidationError):
        SecretFile.model_validate({"path": "/run/x", **settings})


@pytest.mark.parametrize("kind", [int, str])
def test_numbers(kind: Callable[[int], int | str]) -> None:
    """Users, groups and signals may be numbers, in quotes or not, and need no entry in passwd."""
    notify = [{"container": "web", "signal": kind(10)}]
    file = SecretFile.model_validate(
        {"path": "/run/x", "secret": A, "owner": kind(os.getuid()), "group": kind(12345), "notify": notify}
    )
    [target] = make_plan(files=[file]).targets
    assert (target.deliveries[0].attributes.uid, target.deliveries[0].attributes.gid) == (os.getuid(), 12345)
    assert target.notices == (Notice(Kind.CONTAINER, "web", "SIGUSR1"),)
