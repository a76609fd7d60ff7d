"""The OCI configuration file and the variables that override it, as the SDK and the CLI read them."""

from __future__ import annotations

import configparser
import os
from collections.abc import Callable
from pathlib import Path

import oci
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepstep.clouds.oci_config import OciSettings, ca_bundle, read_profile
from keepstep.errors import ConfigError

FILE = """\
[DEFAULT]
user=ocid1.user.oc1..d
tenancy=ocid1.tenancy.oc1..d
pass_phrase=a;b#c%(d)s
region = iad

[work]
user = ocid1.user.oc1..w
Fingerprint: aa
"""
NAME = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=8)
VALUE = st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=12)


def test_inheritance_is_the_sdks(write: Callable[..., Path]) -> None:
    """A profile inherits from [DEFAULT]; nothing is interpolated; names are case-blind."""
    path = write(".oci/config", FILE)
    for name in ("DEFAULT", "work"):
        theirs = oci.config.from_file(str(path), name)
        ours = read_profile(OciSettings(profile=name))
        assert {key: ours.get(key) for key in ours.values} == {key: theirs[key] for key in ours.values}
    assert ours.get("pass_phrase") == "a;b#c%(d)s"
    assert ours.region(OciSettings()) == "us-ashburn-1"


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    default=st.dictionaries(NAME, VALUE, max_size=4),
    profile=st.dictionaries(NAME, VALUE, max_size=4),
)
def test_any_file_is_read_as_the_sdk_reads_it(
    default: dict[str, str], profile: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever names and values: profile and inheritance are the SDK's, or both refuse."""
    path = tmp_path_factory.mktemp("config") / "config"
    sections = {"DEFAULT": default, "p": profile}
    path.write_text("".join(f"[{n}]\n" + "".join(f"{k}={v}\n" for k, v in s.items()) for n, s in sections.items()))
    try:
        theirs = oci.config.from_file(str(path), "p")
    except (configparser.Error, ValueError, oci.exceptions.ClientError):
        with pytest.raises(ConfigError):
            read_profile(OciSettings(config_file=str(path), profile="p"))
        return
    ours = read_profile(OciSettings(config_file=str(path), profile="p"))
    assert dict(ours.values) == {key: theirs[key] for key in ours.values}
    assert set(theirs) - set(ours.values) <= {"log_requests", "additional_user_agent", "pass_phrase"}


def test_variables_override_the_file(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of the CLI's variables goes before the value in the file, an empty one does not."""
    write(".oci/config", FILE)
    monkeypatch.setenv("OCI_CLI_USER", "ocid1.user.oc1..v")
    monkeypatch.setenv("OCI_CLI_REGION", "fra")
    monkeypatch.setenv("OCI_CLI_TENANCY", "")
    profile = read_profile(OciSettings())
    assert (profile.ocid("user"), profile.ocid("tenancy")) == ("ocid1.user.oc1..v", "ocid1.tenancy.oc1..d")
    assert profile.region(OciSettings()) == "eu-frankfurt-1"
    assert profile.region(OciSettings(region="lhr")) == "uk-london-1"


def test_variables_that_were_filled_from_files(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """The line break at its end is no part of a value, and nothing but that is none."""
    write(".oci/config", FILE)
    for name, value in {
        "USER": "ocid1.user.oc1..v",
        "REGION": " fra",
        "PASSPHRASE": "pass",
        "TENANCY": "",
    }.items():
        monkeypatch.setenv(f"OCI_CLI_{name}", f"{value}\n")
    profile = read_profile(OciSettings())
    assert (profile.ocid("user"), profile.ocid("tenancy")) == ("ocid1.user.oc1..v", "ocid1.tenancy.oc1..d")
    assert profile.region(OciSettings()) == "eu-frankfurt-1"
    assert profile.get("pass_phrase") == "pass"


def test_which_file_and_profile(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, OCI_CLI_CONFIG_FILE and OCI_CLI_PROFILE; OCI_CONFIG_FILE only where there is no usual file."""
    two = write("two", "[DEFAULT]\nuser=two\n[p]\nuser=two-p\n")
    monkeypatch.setenv("OCI_CONFIG_FILE", str(two))
    assert read_profile(OciSettings()).get("user") == "two"
    write(".oci/config", "[DEFAULT]\nuser=usual\n")
    assert read_profile(OciSettings()).get("user") == "usual"
    monkeypatch.setenv("OCI_CLI_CONFIG_FILE", "~/two")
    monkeypatch.setenv("OCI_CLI_PROFILE", "p")
    assert read_profile(OciSettings()).get("user") == "two-p"
    assert read_profile(OciSettings(profile="DEFAULT")).get("user") == "two"
    three = write("three", "[DEFAULT]\nuser=three\n")
    assert read_profile(OciSettings(config_file=str(three), profile="DEFAULT")).get("user") == "three"


def test_the_sdks_region_variable_is_last(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """OCI_REGION counts where nothing else says a region."""
    monkeypatch.setenv("OCI_REGION", "LHR")
    assert read_profile(OciSettings()).region(OciSettings()) == "uk-london-1"
    write(".oci/config", FILE)
    assert read_profile(OciSettings()).region(OciSettings()) == "us-ashburn-1"


WRONG = [
    (None, "tenancy", "no OCI configuration: ", "oci setup config"),
    ("[other]\nuser=x\n", "tenancy", "tenancy is missing in the profile DEFAULT", "OCI_CLI_TENANCY"),
    ("[DEFAULT]\ntenancy=\n", "tenancy", "tenancy is missing", "tenancy=…"),
    ("[DEFAULT]\ntenancy=acme\n", "tenancy", "tenancy is not the OCID of a tenancy: acme", "ocid1.tenancy."),
    ("[DEFAULT]\ntenancy=ocid1.user.oc1..a\n", "tenancy", "is not the OCID of a tenancy", "ocid1.tenancy."),
    ("[DEFAULT]\nuser=ocid1.tenancy.oc1..a\n", "user", "is not the OCID of a user", "ocid1.user."),
]


@pytest.mark.parametrize(("text", "asked", "message", "hint"), WRONG)
def test_what_is_missing_or_malformed(
    text: str | None, asked: str, message: str, hint: str, write: Callable[..., Path]
) -> None:
    """Every value that is absent or no OCID is named, with the place it should be in."""
    if text is not None:
        write(".oci/config", text)
    with pytest.raises(ConfigError) as failed:
        read_profile(OciSettings()).ocid(asked)
    assert message in failed.value.message
    assert hint in (failed.value.hint or "")


def test_a_profile_that_is_not_there(write: Callable[..., Path]) -> None:
    """The message lists the profiles that are."""
    write(".oci/config", FILE)
    with pytest.raises(ConfigError, match=r"the profile play is not in .*\(there are: DEFAULT, work\)"):
        read_profile(OciSettings(profile="play")).require("user")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[DEFAULT]\npass_phrase s3cr3t-line\n", "2"),
        ("s3cr3t-line=1\n", "1"),
        ("[a]\nx=1\n[a]\ns3cr3t-line=1\n", "3"),
        ("[a]\nx=1\nx=s3cr3t-line\n", "3"),
    ],
)
def test_broken_files_are_not_quoted(text: str, line: str, write: Callable[..., Path]) -> None:
    """A file that cannot be parsed is named with the line's number; the line itself may hold a secret."""
    write(".oci/config", text)
    with pytest.raises(ConfigError, match=rf"cannot parse .*config, line {line}") as failed:
        read_profile(OciSettings())
    assert failed.value.__cause__ is None
    assert failed.value.__suppress_context__
    assert "s3cr3t" not in f"{failed.value!r}{failed.value.hint}"


def test_values_do_not_show(write: Callable[..., Path]) -> None:
    """The repr of a profile holds none of its values."""
    write(".oci/config", "[DEFAULT]\npass_phrase=s3cr3t\nkey_content=s3cr3t\n")
    assert "s3cr3t" not in repr(read_profile(OciSettings()))


def test_ca_bundle(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, OCI_CLI_CERT_BUNDLE, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE; a file that is missing is named."""
    assert ca_bundle(OciSettings()) is None
    files = {name: str(write(name, "")) for name in ("CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "OCI_CLI_CERT_BUNDLE")}
    for name, path in files.items():
        monkeypatch.setenv(name, path)
        assert ca_bundle(OciSettings()) == path
    assert ca_bundle(OciSettings(ca_bundle="~/CURL_CA_BUNDLE")) == os.path.expanduser("~/CURL_CA_BUNDLE")
    with pytest.raises(ConfigError, match=r"/nowhere\.pem does not exist"):
        ca_bundle(OciSettings(ca_bundle="/nowhere.pem"))
