"""The local Secrets Manager keeps AWS's documented rules, as boto3 sees them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.servers import Aws

A, B, C, D = (f"{letter}" * 32 for letter in "abcd")
"""Client request tokens, which become version ids."""


@pytest.fixture
def sm(moto: Aws) -> Any:
    return moto.client("secretsmanager")


@pytest.fixture
def name() -> str:
    return f"secret/{uuid.uuid4().hex}"


@pytest.fixture
def secret(sm: Any, name: str) -> str:
    """A secret with one version: A, which holds "one"."""
    sm.create_secret(Name=name, ClientRequestToken=A, SecretString="one")
    return name


def refused(code: str, call: Callable[..., Any], message: str = "", **parameters: Any) -> None:
    with pytest.raises(ClientError, match=message or None) as refusal:
        call(**parameters)
    assert refusal.value.response["Error"]["Code"] == code


def stages(sm: Any, secret: str) -> dict[str, set[str]]:
    described = sm.describe_secret(SecretId=secret)
    return {version: set(labels) for version, labels in described.get("VersionIdsToStages", {}).items()}


def value(sm: Any, secret: str, **which: str) -> str:
    return str(sm.get_secret_value(SecretId=secret, **which)["SecretString"])


class TestCreate:
    def test_first_version_is_current(self, sm: Any, name: str) -> None:
        """A new secret's value is AWSCURRENT, its version id the request token; its ARN ends in six characters."""
        made = sm.create_secret(Name=name, ClientRequestToken=A, SecretString="one", Description="d")
        assert made["VersionId"] == A
        assert made["ARN"].startswith(f"arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}-")
        assert stages(sm, name) == {A: {"AWSCURRENT"}}
        for secret_id in (name, made["ARN"], made["ARN"][:-7]):
            assert value(sm, secret_id) == "one"

    def test_without_a_value_there_is_no_version(self, sm: Any, name: str) -> None:
        """A secret may be made without a value; reading it then says that the label is not there."""
        assert "VersionId" not in sm.create_secret(Name=name)
        assert "VersionIdsToStages" not in sm.describe_secret(SecretId=name)
        refused("ResourceNotFoundException", sm.get_secret_value, "staging label: AWSCURRENT", SecretId=name)

    def test_the_token_makes_it_idempotent(self, sm: Any, secret: str) -> None:
        """The same token and value give the same answer; with another value or token it exists already."""
        again = sm.create_secret(Name=secret, ClientRequestToken=A, SecretString="one")
        assert again["ARN"] == sm.describe_secret(SecretId=secret)["ARN"]
        for token, text in ((A, "two"), (B, "one")):
            refused(
                "ResourceExistsException",
                sm.create_secret,
                Name=secret,
                ClientRequestToken=token,
                SecretString=text,
            )

    def test_binary_comes_back_as_it_was(self, sm: Any, name: str) -> None:
        """A binary value is given back byte for byte, and both kinds at once are refused."""
        sm.create_secret(Name=name, SecretBinary=bytes(range(256)))
        assert sm.get_secret_value(SecretId=name)["SecretBinary"] == bytes(range(256))
        refused(
            "InvalidParameterException", sm.put_secret_value, SecretId=name, SecretString="x", SecretBinary=b"x"
        )

    @pytest.mark.parametrize("bad", ["a b", "ä", "a:b"])
    def test_names_have_an_alphabet(self, sm: Any, bad: str) -> None:
        """A name of other characters than letters, digits and /_+=.@- is refused."""
        refused("ValidationException", sm.create_secret, "Invalid name", Name=bad)

    def test_what_the_model_forbids_is_refused(self, sm: Any, secret: str) -> None:
        """Lengths are the service model's, in bytes for the value; the message does not repeat the value."""
        refused("ValidationException", sm.create_secret, "'name'", Name="n" * 513)
        with pytest.raises(ClientError, match="'secretString'") as refusal:
            sm.put_secret_value(SecretId=secret, SecretString="ä" * 40_000)
        assert "ääää" not in str(refusal.value)


class TestPut:
    def test_current_moves_and_previous_follows(self, sm: Any, secret: str) -> None:
        """A new version is AWSCURRENT, the one before AWSPREVIOUS, the oldest deprecated but readable by id."""
        sm.put_secret_value(SecretId=secret, ClientRequestToken=B, SecretString="two")
        assert stages(sm, secret) == {A: {"AWSPREVIOUS"}, B: {"AWSCURRENT"}}
        sm.put_secret_value(SecretId=secret, ClientRequestToken=C, SecretString="three")
        assert stages(sm, secret) == {B: {"AWSPREVIOUS"}, C: {"AWSCURRENT"}}
        assert value(sm, secret, VersionId=A) == "one"
        assert value(sm, secret, VersionStage="AWSPREVIOUS") == "two"

    def test_pending_does_not_touch_current(self, sm: Any, secret: str) -> None:
        """AWSPENDING moves from version to version and changes nothing else."""
        sm.put_secret_value(SecretId=secret, ClientRequestToken=B, SecretString="two", VersionStages=["AWSPENDING"])
        assert value(sm, secret) == "one"
        assert value(sm, secret, VersionStage="AWSPENDING") == "two"
        sm.put_secret_value(
            SecretId=secret, ClientRequestToken=C, SecretString="three", VersionStages=["AWSPENDING"]
        )
        assert stages(sm, secret) == {A: {"AWSCURRENT"}, C: {"AWSPENDING"}}

    def test_the_same_token_and_value_do_nothing(self, sm: Any, secret: str) -> None:
        """Repeating a put gives the same answer and moves no label, not even one that is asked for."""
        first = sm.put_secret_value(
            SecretId=secret, ClientRequestToken=B, SecretString="two", VersionStages=["AWSPENDING"]
        )
        changed = sm.describe_secret(SecretId=secret)["LastChangedDate"]
        again = sm.put_secret_value(SecretId=secret, ClientRequestToken=B, SecretString="two")
        assert again["VersionStages"] == first["VersionStages"] == ["AWSPENDING"]
        assert sm.describe_secret(SecretId=secret)["LastChangedDate"] == changed
        sm.update_secret_version_stage(SecretId=secret, VersionStage="AWSPENDING", RemoveFromVersionId=B)
        sm.put_secret_value(SecretId=secret, ClientRequestToken=B, SecretString="two", VersionStages=["AWSPENDING"])
        assert stages(sm, secret) == {A: {"AWSCURRENT"}}

    def test_the_same_token_and_another_value_exist_already(self, sm: Any, secret: str) -> None:
        """A version never changes: its token with another value is ResourceExistsException, and nothing changes."""
        refused(
            "ResourceExistsException", sm.put_secret_value, SecretId=secret, ClientRequestToken=A, SecretString="x"
        )
        assert value(sm, secret) == "one"

    def test_the_first_version_is_current_whatever_is_asked(self, sm: Any, name: str) -> None:
        """The first version of an empty secret gets AWSCURRENT besides the labels that were named."""
        sm.create_secret(Name=name)
        sm.put_secret_value(SecretId=name, ClientRequestToken=A, SecretString="one", VersionStages=["AWSPENDING"])
        assert stages(sm, name) == {A: {"AWSCURRENT", "AWSPENDING"}}

    def test_a_value_is_needed(self, sm: Any, secret: str) -> None:
        """A put without a value is refused."""
        refused("InvalidRequestException", sm.put_secret_value, SecretId=secret)

    def test_a_token_has_a_length(self, moto: Aws, secret: str) -> None:
        """A token of fewer than 32 characters is refused, also when the client does not check it."""
        unchecked = moto.client("secretsmanager", config=Config(parameter_validation=False))
        put = unchecked.put_secret_value
        refused(
            "ValidationException",
            put,
            "clientRequestToken",
            SecretId=secret,
            ClientRequestToken="short",
            SecretString="x",
        )

    def test_a_label_is_on_one_version_and_twenty_on_a_version(self, sm: Any, secret: str) -> None:
        """Labels of one's own move like AWS's; a version has at most twenty."""
        sm.put_secret_value(SecretId=secret, ClientRequestToken=B, SecretString="two", VersionStages=["BLUE"])
        sm.put_secret_value(SecretId=secret, ClientRequestToken=C, SecretString="three", VersionStages=["BLUE"])
        assert stages(sm, secret) == {A: {"AWSCURRENT"}, C: {"BLUE"}}
        for number in range(19):
            sm.update_secret_version_stage(SecretId=secret, VersionStage=f"L{number}", MoveToVersionId=C)
        move = sm.update_secret_version_stage
        refused("LimitExceededException", move, SecretId=secret, VersionStage="L19", MoveToVersionId=C)


class TestMove:
    @pytest.fixture(autouse=True)
    def versions(self, sm: Any, secret: str) -> None:
        """B is current, A is previous, C is pending."""
        sm.put_secret_value(SecretId=secret, ClientRequestToken=B, SecretString="two")
        sm.put_secret_value(
            SecretId=secret, ClientRequestToken=C, SecretString="three", VersionStages=["AWSPENDING"]
        )

    def test_promotion_is_seen_and_previous_follows(self, sm: Any, secret: str) -> None:
        """Moving AWSCURRENT to the pending version is what the next read sees; AWSPREVIOUS goes to the old one."""
        sm.update_secret_version_stage(
            SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=C, RemoveFromVersionId=B
        )
        assert value(sm, secret) == "three"
        assert stages(sm, secret) == {B: {"AWSPREVIOUS"}, C: {"AWSCURRENT", "AWSPENDING"}}

    def test_roll_back_swaps(self, sm: Any, secret: str) -> None:
        """Moving AWSCURRENT back to the previous version makes AWSPREVIOUS of the one it left."""
        sm.update_secret_version_stage(
            SecretId=secret, VersionStage="AWSCURRENT", MoveToVersionId=A, RemoveFromVersionId=B
        )
        assert stages(sm, secret) == {A: {"AWSCURRENT"}, B: {"AWSPREVIOUS"}, C: {"AWSPENDING"}}

    @pytest.mark.parametrize(
        ("label", "source", "target"),
        [
            ("AWSCURRENT", None, C),
            ("AWSCURRENT", A, C),
            ("AWSCURRENT", C, A),
            ("AWSCURRENT", D, C),
            ("AWSCURRENT", B, D),
            ("AWSCURRENT", B, None),
            ("AWSPENDING", B, None),
            ("AWSPENDING", None, B),
            ("NOWHERE", A, B),
            ("NOWHERE", None, None),
        ],
    )
    def test_the_holder_must_be_named(
        self, sm: Any, secret: str, label: str, source: str | None, target: str | None
    ) -> None:
        """InvalidParameterException unless RemoveFromVersionId carries the label; nothing has moved then."""
        before = stages(sm, secret)
        named = {"RemoveFromVersionId": source, "MoveToVersionId": target}
        given = {name: version for name, version in named.items() if version}
        move = sm.update_secret_version_stage
        refused("InvalidParameterException", move, SecretId=secret, VersionStage=label, **given)
        assert stages(sm, secret) == before

    def test_a_label_is_put_on_and_taken_off(self, sm: Any, secret: str) -> None:
        """A label that is nowhere needs no RemoveFrom; without MoveTo it is taken off, and C is deprecated."""
        sm.update_secret_version_stage(SecretId=secret, VersionStage="NEW", MoveToVersionId=A)
        sm.update_secret_version_stage(SecretId=secret, VersionStage="NEW", MoveToVersionId=A)
        sm.update_secret_version_stage(SecretId=secret, VersionStage="AWSPENDING", RemoveFromVersionId=C)
        assert stages(sm, secret) == {A: {"AWSPREVIOUS", "NEW"}, B: {"AWSCURRENT"}}
        refused("ResourceNotFoundException", sm.get_secret_value, SecretId=secret, VersionStage="AWSPENDING")
        assert value(sm, secret, VersionId=C) == "three"

    def test_id_and_label_must_agree(self, sm: Any, secret: str) -> None:
        """A read by version id and label answers only when the label is on that version."""
        assert value(sm, secret, VersionId=B, VersionStage="AWSCURRENT") == "two"
        get = sm.get_secret_value
        refused("InvalidRequestException", get, SecretId=secret, VersionId=A, VersionStage="AWSCURRENT")
        refused("ResourceNotFoundException", get, "VersionId", SecretId=secret, VersionId=D)

    def test_versions_are_listed_in_pages(self, sm: Any, secret: str) -> None:
        """Versions without a label are listed only when asked for; pages follow each other."""
        sm.update_secret_version_stage(SecretId=secret, VersionStage="AWSPENDING", RemoveFromVersionId=C)
        listed = sm.list_secret_version_ids(SecretId=secret)["Versions"]
        assert [version["VersionId"] for version in listed] == [A, B]
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = sm.list_secret_version_ids(SecretId=secret, IncludeDeprecated=True, MaxResults=2, **token)
            found += [version["VersionId"] for version in page["Versions"]]
            if "NextToken" not in page:
                break
            token = {"NextToken": page["NextToken"]}
        assert found == [A, B, C]
        refused("InvalidNextTokenException", sm.list_secret_version_ids, SecretId=secret, NextToken="!")


class TestUpdate:
    def test_a_value_makes_a_version_and_nothing_does_not(self, sm: Any, secret: str) -> None:
        """UpdateSecret changes the description alone, or makes a version that is current."""
        assert "VersionId" not in sm.update_secret(SecretId=secret, Description="new")
        assert sm.describe_secret(SecretId=secret)["Description"] == "new"
        assert stages(sm, secret) == {A: {"AWSCURRENT"}}
        assert sm.update_secret(SecretId=secret, ClientRequestToken=B, SecretString="two")["VersionId"] == B
        assert stages(sm, secret) == {A: {"AWSPREVIOUS"}, B: {"AWSCURRENT"}}

    def test_a_used_token_is_an_error_even_with_the_same_value(self, sm: Any, secret: str) -> None:
        """UpdateSecret is not idempotent by its token (API reference), and changes nothing when it fails."""
        call = sm.update_secret
        refused(
            "ResourceExistsException",
            call,
            SecretId=secret,
            ClientRequestToken=A,
            SecretString="one",
            Description="n",
        )
        assert "Description" not in sm.describe_secret(SecretId=secret)


class TestDelete:
    def test_a_deleted_secret_is_described_and_nothing_else(self, sm: Any, secret: str) -> None:
        """Within the recovery window only describe, list versions and restore work."""
        gone = sm.delete_secret(SecretId=secret, RecoveryWindowInDays=7)["DeletionDate"]
        described = sm.describe_secret(SecretId=secret)
        assert 6.9 < (gone - described["DeletedDate"]).total_seconds() / 86400 < 7.1
        assert len(sm.list_secret_version_ids(SecretId=secret)["Versions"]) == 1
        uses: list[tuple[Callable[..., Any], dict[str, Any]]] = [
            (sm.get_secret_value, {}),
            (sm.put_secret_value, {"SecretString": "x"}),
            (sm.update_secret, {"Description": "x"}),
            (sm.update_secret_version_stage, {"VersionStage": "X", "MoveToVersionId": A}),
            (sm.tag_resource, {"Tags": [{"Key": "k", "Value": "v"}]}),
            (sm.rotate_secret, {}),
            (sm.delete_secret, {}),
            (sm.get_resource_policy, {}),
        ]
        for call, parameters in uses:
            refused("InvalidRequestException", call, "marked for deletion", SecretId=secret, **parameters)
        refused("InvalidRequestException", sm.create_secret, "already scheduled for deletion", Name=secret)
        sm.restore_secret(SecretId=secret)
        assert value(sm, secret) == "one"
        assert "DeletedDate" not in sm.describe_secret(SecretId=secret)

    def test_force_deletes_at_once_and_again(self, sm: Any, secret: str) -> None:
        """ForceDeleteWithoutRecovery frees the name; repeated, or for a secret that never was, it succeeds."""
        sm.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)
        refused("ResourceNotFoundException", sm.describe_secret, "can't find the specified secret", SecretId=secret)
        assert sm.delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)["Name"] == secret
        refused("ResourceNotFoundException", sm.delete_secret, SecretId=secret)
        sm.create_secret(Name=secret, SecretString="again")
        assert value(sm, secret) == "again"

    @pytest.mark.parametrize(
        "parameters",
        [
            {"RecoveryWindowInDays": 6},
            {"RecoveryWindowInDays": 31},
            {"RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": True},
        ],
    )
    def test_windows_have_limits(self, sm: Any, secret: str, parameters: dict[str, Any]) -> None:
        """The recovery window is 7 to 30 days and excludes force."""
        refused("InvalidParameterException", sm.delete_secret, SecretId=secret, **parameters)
        assert value(sm, secret) == "one"


class TestSearch:
    def test_filters_and_order(self, sm: Any, name: str) -> None:
        """Names and tags match from the start with their case, descriptions without, and ``!`` negates."""
        for part, text, tag in (("x1", "Alpha beta", "prod"), ("x2", "beta", "Prod"), ("y", "gamma", "test")):
            sm.create_secret(Name=f"{name}/{part}", Description=text, Tags=[{"Key": "env", "Value": tag}])
        mine = {"Key": "name", "Values": [name]}

        def found(key: str, *values: str, **order: Any) -> list[str]:
            filters = [mine, {"Key": key, "Values": list(values)}]
            listed = sm.list_secrets(Filters=filters, SortBy="name", **order)["SecretList"]
            return [one["Name"].rpartition("/")[2] for one in listed]

        assert found("name", f"{name}/x") == ["x1", "x2"]
        assert found("name", f"{name}/x", f"{name}/y", SortOrder="desc") == ["y", "x2", "x1"]
        assert found("name", f"!{name}/x") == ["y"]
        assert found("description", "ALPHA") == ["x1"]
        assert found("description", "beta") == ["x2"]
        assert found("tag-value", "prod") == ["x1"]
        assert found("tag-key", "ENV") == []
        assert found("all", "BETA") == ["x1", "x2"]

    def test_pages_and_planned_deletions(self, sm: Any, name: str) -> None:
        """Pages follow each other; a secret in its recovery window is listed only when asked for."""
        for number in range(5):
            sm.create_secret(Name=f"{name}/{number}", SecretString="x")
        sm.delete_secret(SecretId=f"{name}/3")
        mine = {"Filters": [{"Key": "name", "Values": [name]}], "PaginationConfig": {"PageSize": 2}}

        def numbers(**more: Any) -> list[str]:
            pages = sm.get_paginator("list_secrets").paginate(**mine, **more)
            return [one["Name"][-1] for page in pages for one in page["SecretList"]]

        assert numbers() == ["0", "1", "2", "4"]
        assert numbers(IncludePlannedDeletion=True) == ["0", "1", "2", "3", "4"]

    def test_many_values_at_once(self, sm: Any, name: str, secret: str) -> None:
        """BatchGetSecretValue gives what it can and says of each other secret why not."""
        sm.create_secret(Name=f"{name}/b", SecretString="two")
        got = sm.batch_get_secret_value(SecretIdList=[secret, "nowhere", f"{name}/b"])
        assert [one["SecretString"] for one in got["SecretValues"]] == ["one", "two"]
        assert [(one["SecretId"], one["ErrorCode"]) for one in got["Errors"]] == [
            ("nowhere", "ResourceNotFoundException")
        ]
        got = sm.batch_get_secret_value(Filters=[{"Key": "name", "Values": [name]}])
        assert {one["Name"] for one in got["SecretValues"]} == {secret, f"{name}/b"}
        refused("InvalidParameterException", sm.batch_get_secret_value)


class TestRest:
    def test_tags(self, sm: Any, secret: str) -> None:
        """Tags are added, replaced and removed by their keys."""
        sm.tag_resource(SecretId=secret, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
        sm.tag_resource(SecretId=secret, Tags=[{"Key": "a", "Value": "3"}])
        sm.untag_resource(SecretId=secret, TagKeys=["b", "c"])
        assert sm.describe_secret(SecretId=secret)["Tags"] == [{"Key": "a", "Value": "3"}]

    def test_rotation_is_recorded(self, sm: Any, secret: str) -> None:
        """RotateSecret needs a function, records its settings, and is refused while another version is pending."""
        assert "RotationEnabled" not in sm.describe_secret(SecretId=secret)
        refused("InvalidRequestException", sm.rotate_secret, "No Lambda rotation function", SecretId=secret)
        function = "arn:aws:lambda:us-east-1:123456789012:function:f"
        sm.rotate_secret(SecretId=secret, RotationLambdaARN=function, RotationRules={"AutomaticallyAfterDays": 30})
        described = sm.describe_secret(SecretId=secret)
        assert (described["RotationEnabled"], described["RotationLambdaARN"]) == (True, function)
        assert described["RotationRules"] == {"AutomaticallyAfterDays": 30}
        assert 29 <= (described["NextRotationDate"] - described["LastChangedDate"]).days <= 30
        sm.put_secret_value(SecretId=secret, SecretString="two", VersionStages=["AWSPENDING"])
        refused("InvalidRequestException", sm.rotate_secret, "Previous rotation", SecretId=secret)
        sm.cancel_rotate_secret(SecretId=secret)
        assert sm.describe_secret(SecretId=secret)["RotationEnabled"] is False

    def test_policies(self, sm: Any, secret: str) -> None:
        """A resource policy is kept as it was sent; what is no policy, or open when that is blocked, is refused."""
        statement = '{"Effect":"Allow","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*"}'
        policy = f'{{"Version":"2012-10-17","Statement":[{statement}]}}'
        put = sm.put_resource_policy
        refused("MalformedPolicyDocumentException", put, SecretId=secret, ResourcePolicy="{")
        refused("PublicPolicyException", put, SecretId=secret, ResourcePolicy=policy, BlockPublicPolicy=True)
        assert "ResourcePolicy" not in sm.get_resource_policy(SecretId=secret)
        put(SecretId=secret, ResourcePolicy=policy)
        assert sm.get_resource_policy(SecretId=secret)["ResourcePolicy"] == policy
        assert sm.validate_resource_policy(ResourcePolicy=policy)["PolicyValidationPassed"] is False
        sm.delete_resource_policy(SecretId=secret)
        assert "ResourcePolicy" not in sm.get_resource_policy(SecretId=secret)

    def test_random_passwords(self, sm: Any) -> None:
        """Passwords have the length and the characters that were asked for, one of each kind by default."""
        text = sm.get_random_password(PasswordLength=30, ExcludePunctuation=True)["RandomPassword"]
        assert len(text) == 30
        assert text.isalnum()
        assert any(map(str.isupper, text))
        assert any(map(str.islower, text))
        assert any(map(str.isdigit, text))
        none: dict[str, Any] = {
            f"Exclude{kind}": True for kind in ("Numbers", "Punctuation", "Uppercase", "Lowercase")
        }
        refused("InvalidParameterException", sm.get_random_password, **none)

    def test_regions_are_apart(self, moto: Aws, sm: Any, secret: str) -> None:
        """A secret is in its region only."""
        elsewhere = moto.client("secretsmanager", region="eu-west-1")
        refused("ResourceNotFoundException", elsewhere.get_secret_value, SecretId=secret)
        elsewhere.create_secret(Name=secret, SecretString="there")
        assert value(elsewhere, secret) == "there"
        assert value(sm, secret) == "one"

    def test_what_is_not_here_says_so(self, sm: Any, secret: str) -> None:
        """Operations on replicas are refused, not ignored."""
        call = sm.replicate_secret_to_regions
        refused("InvalidRequestException", call, SecretId=secret, AddReplicaRegions=[{"Region": "eu-west-1"}])
