"""Addresses of secrets, as users write them."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.errors import ConfigError
from keepstep.vaults.address import SecretAddress, parse, region_of_arn

OCID = "ocid1.vaultsecret.oc1.iad.amaaaaaaexample"
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:prod/db-AbCdEf"
PARAMETER = "arn:aws:ssm:eu-west-1:123456789012:parameter/prod/db"


@pytest.mark.parametrize(
    ("text", "vault", "name", "field"),
    [
        (OCID, "oci-vault", OCID, ""),
        ("ocid1.vaultsecret.oc1..aaaa...dbpass", "oci-vault", "ocid1.vaultsecret.oc1..aaaa...dbpass", ""),
        (f"{OCID}#password", "oci-vault", OCID, "password"),
        (f"{OCID}#a field # with all", "oci-vault", OCID, "a field # with all"),
        (ARN, "aws-sm", ARN, ""),
        (f"{ARN}#password", "aws-sm", ARN, "password"),
        ("aws-sm:prod/db", "aws-sm", "prod/db", ""),
        (f"aws-sm:{ARN}", "aws-sm", ARN, ""),
        ("aws-ssm:/prod/db", "aws-ssm", "/prod/db", ""),
        (PARAMETER, "aws-ssm", PARAMETER, ""),
        (
            "arn:aws-us-gov:secretsmanager:us-gov-west-1:1:secret:x",
            "aws-sm",
            "arn:aws-us-gov:secretsmanager:us-gov-west-1:1:secret:x",
            "",
        ),
    ],
)
def test_each_form_names_its_vault(text: str, vault: str, name: str, field: str) -> None:
    """Every documented form is understood, and prints as it was written."""
    address = parse(text)
    assert (address.vault, address.name, address.field) == (vault, name, field)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#password",
        f"{OCID}#",
        "hunter2",
        "ocid1.vault.oc1.iad.aaaa",
        "ocid1.vaultsecret",
        f"{OCID}/../x",
        f"{OCID}?stage=PENDING",
        "aws-sm:",
        "aws-sm:white space",
        "aws-ssm:a:b",
        f"aws-ssm:{ARN}",
        "arn:aws:s3:::bucket",
        "arn:aws:secretsmanager:eu-west-1:123456789012:parameter/x",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Other texts are refused with the forms that there are, and are not repeated: they might be a secret."""
    with pytest.raises(ConfigError) as refusal:
        parse(text)
    assert "aws-ssm:NAME" in (refusal.value.hint or "")
    assert len(text) < 5 or text not in str(refusal.value)


@given(st.text(max_size=60))
def test_any_text_is_understood_or_refused(text: str) -> None:
    """Nothing but ConfigError ever comes of a text."""
    with contextlib.suppress(ConfigError):
        assert str(parse(text)) == text


def test_the_region_of_an_arn() -> None:
    """An ARN names its region; a plain name does not."""
    assert region_of_arn(ARN) == "eu-west-1"
    assert region_of_arn("prod/db") is None


def test_an_address_that_nobody_wrote_prints_too() -> None:
    """Addresses that were made, not parsed, print in the same form."""
    assert str(SecretAddress("aws-sm", "x", "f")) == "aws-sm:x#f"
