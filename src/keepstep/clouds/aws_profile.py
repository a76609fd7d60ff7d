"""The AWS configuration of this process: variables, ``~/.aws/config`` and ``~/.aws/credentials``, as botocore reads
them, without botocore's session: to load it takes a quarter of a second, longer than many a run. Its parser reads
the files; the tests hold every answer against the session's.
"""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from keepstep.clouds.aws_errors import unanswered
from keepstep.clouds.sigv4 import AwsCredentials
from keepstep.errors import ConfigError
from keepstep.secret import Secret

_SETTINGS = frozenset(
    "region output ca_bundle s3 services endpoint_url ignore_configured_endpoint_urls use_fips_endpoint"
    " use_dualstack_endpoint cli_pager cli_timestamp_format cli_binary_format retry_mode max_attempts"
    " defaults_mode sts_regional_endpoints parameter_validation".split()
)
"""What a profile may hold besides keys without any effect on the identity."""
_KEYS = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")


class AwsProfile:
    """One profile of both files, and the variables that go before it.

    ``explicit`` is one that the user named, which goes before access keys in the environment. Every question raises
    :class:`ConfigError` when the profile does not exist or a file cannot be parsed.
    """

    def __init__(self, explicit: str | None) -> None:
        self._explicit = explicit
        self._named = _first(explicit, os.environ.get("AWS_DEFAULT_PROFILE"), os.environ.get("AWS_PROFILE"))
        self.name = self._named or "default"

    def text(self, name: str, variable: str) -> str | None:
        """A setting: of the environment, or else of the profile."""
        return _first(os.environ.get(variable), self.written(name))

    def written(self, name: str) -> str | None:
        """A setting of the profile that is text."""
        value = self.values.get(name)
        if isinstance(value, dict):
            raise ConfigError(
                f"{name} in the AWS profile {self.name} is a nested block, where a value must be",
                hint=f"write '{name} = value' on one line",
            )
        return value

    def flag(self, name: str, variable: str) -> bool:
        return is_true(self.text(name, variable))

    @cached_property
    def values(self) -> dict[str, Any]:
        """What the profile says in both files; a nested block is a dictionary."""
        profiles = self._files["profiles"]
        if self._named is not None and self._named not in profiles:
            from botocore.exceptions import ProfileNotFound

            raise unanswered(ProfileNotFound(profile=self._named), self.name)
        return dict(profiles.get(self.name, {}))

    def service(self, name: str) -> dict[str, str]:
        """What the profile's ``services`` section says of one."""
        section = self.written("services")
        if section is None:
            return {}
        found = self._files.get("services", {}).get(section)
        if not found:
            raise ConfigError(
                f"the AWS profile {self.name} names the services section {section}, which does not exist",
                hint=f"add [services {section}] to the AWS configuration, or take the setting out",
            )
        return self._block(name, found, f"the AWS services section {section}")

    def block(self, name: str) -> dict[str, str]:
        """A nested block of the profile, as it is written."""
        return self._block(name, self.values, f"the AWS profile {self.name}")

    def _block(self, name: str, values: dict[str, Any], where: str) -> dict[str, str]:
        block = values.get(name, {})
        if not isinstance(block, dict):
            raise ConfigError(
                f"{name} = {block} in {where} is not a nested block",
                hint=f"write '{name} =' on a line of its own, and its settings indented below it",
            )
        return dict(block)

    def plain_credentials(self) -> AwsCredentials | None:
        """Access keys that simply stand there; None where it takes botocore's chain to find any."""
        _ = self.values
        environment = None if self._explicit else _of_environment()
        if environment or "AWS_ACCESS_KEY_ID" in os.environ or "AWS_WEB_IDENTITY_TOKEN_FILE" in os.environ:
            return environment
        if not self.values.keys() <= {*_SETTINGS, *_KEYS}:
            return None
        written = self._credentials_file.get(self.name, {})
        keys = [written.get(name, "") for name in _KEYS]
        return _credentials("shared-credentials-file", *keys) if all(isinstance(key, str) for key in keys) else None

    @cached_property
    def _files(self) -> dict[str, Any]:
        """As ``botocore.session.Session.full_config``."""
        merged = self._parsed("AWS_CONFIG_FILE", "~/.aws/config", maps=True)
        merged.setdefault("profiles", {})
        for name, values in self._credentials_file.items():
            merged["profiles"].setdefault(name, {}).update(values)
        return merged

    @cached_property
    def _credentials_file(self) -> dict[str, Any]:
        return self._parsed("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials", maps=False)

    def _parsed(self, variable: str, default: str, *, maps: bool) -> dict[str, Any]:
        path = os.environ.get(variable, default)
        if not os.path.isfile(os.path.expanduser(os.path.expandvars(path))):
            return {}
        from botocore import configloader
        from botocore.exceptions import BotoCoreError

        try:
            parsed: dict[str, Any] = (configloader.load_config if maps else configloader.raw_config_parse)(path)
        except BotoCoreError as exc:
            raise unanswered(exc, self.name) from exc
        return parsed


def is_true(text: str | None) -> bool:
    """As botocore reads a flag."""
    return (text or "").lower() == "true"


def _first(*values: str | None) -> str | None:
    return next((value for value in values if value is not None), None)


def _of_environment() -> AwsCredentials | None:
    if os.environ.get("AWS_CREDENTIAL_EXPIRATION"):
        return None
    # A variable that was filled from a file has the line break of its end.
    token = os.environ.get("AWS_SECURITY_TOKEN", "").strip() or os.environ.get("AWS_SESSION_TOKEN", "").strip()
    key, secret = (os.environ.get(name, "").strip() for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    return _credentials("env", key, secret, token)


def _credentials(method: str, key: str, secret: str, token: str) -> AwsCredentials | None:
    if not (key and secret):
        return None
    return AwsCredentials(key, Secret(secret), Secret(token) if token else None, method=method)
