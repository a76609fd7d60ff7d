"""The OCI configuration: ``~/.oci/config``, and the OCI CLI's variables that override it.

Source: "SDK and CLI Configuration File" and "CLI Environment Variables" of the OCI documentation, and the way
``oci/config.py`` and ``oci_cli/cli_util.py`` read them.
"""

from __future__ import annotations

import configparser
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from keepstep.clouds.oci_keys import read_file
from keepstep.clouds.oci_regions import region_of
from keepstep.errors import ConfigError
from keepstep.trust import warn_of_exposure

_VARIABLES = {
    "user": "OCI_CLI_USER",
    "tenancy": "OCI_CLI_TENANCY",
    "fingerprint": "OCI_CLI_FINGERPRINT",
    "key_file": "OCI_CLI_KEY_FILE",
    "key_content": "OCI_CLI_KEY_CONTENT",
    "pass_phrase": "OCI_CLI_PASSPHRASE",
    "region": "OCI_CLI_REGION",
    "security_token_file": "OCI_CLI_SECURITY_TOKEN_FILE",
}
_OCID = re.compile(r"([0-9a-zA-Z-_]+[.:])([0-9a-zA-Z-_]*[.:]){3,}([0-9a-zA-Z-_]+)\Z")
"""The SDK's own pattern for tenancies and users."""
_START = "create it with: oci setup config; on an OCI instance set OCI_CLI_AUTH=instance_principal instead"


@dataclass(frozen=True, kw_only=True)
class OciSettings:
    """How one side of a job becomes somebody on OCI. What is not said here is found as the OCI CLI finds it."""

    auth: str | None = None
    """The OCI CLI's words: ``api_key``, ``security_token``, ``instance_principal`` ... ; see :mod:`.oci`."""
    profile: str | None = None
    config_file: str | None = None
    region: str | None = None
    ca_bundle: str | None = None


@dataclass(frozen=True)
class OciProfile:
    """One profile with what it inherits from ``[DEFAULT]``, and the variables laid over it."""

    name: str
    path: str
    """Of the configuration file, whether it exists or not."""
    values: Mapping[str, str] = field(repr=False)
    absence: str = ""
    """Why the file gave nothing; empty when it had the profile."""

    def get(self, key: str) -> str:
        """The value, empty where there is none."""
        return self.values.get(key, "").strip()

    def require(self, key: str) -> str:
        """The value. Raises :class:`ConfigError` that says which place lacks it."""
        if value := self.get(key):
            return value
        variable = f", or set {_VARIABLES[key]}" if key in _VARIABLES else ""
        if self.absence:
            raise ConfigError(self.absence, hint=_START)
        raise ConfigError(
            f"{key} is missing in the profile {self.name} of {self.path}", hint=f"add a line '{key}=…'{variable}"
        )

    def file(self, key: str) -> str:
        """A path, ``~`` expanded."""
        return os.path.expanduser(self.require(key))

    def ocid(self, kind: str) -> str:
        """The OCID of ``tenancy`` or ``user``."""
        value = self.require(kind)
        other = {"tenancy": "user", "user": "tenancy"}[kind]
        if not _OCID.match(value) or value.startswith(f"ocid1.{other}."):
            raise ConfigError(f"{kind} is not the OCID of a {kind}: {value}", hint=f"it begins with ocid1.{kind}.")
        return value

    def region(self, settings: OciSettings) -> str:
        """Full name; empty where none is said."""
        return region_of(settings.region or self.get("region") or os.environ.get("OCI_REGION", "").strip())


def read_profile(settings: OciSettings) -> OciProfile:
    """The profile that the settings, OCI_CLI_CONFIG_FILE and OCI_CLI_PROFILE choose.

    A file or profile that is not there is no error before something is required of it: the variables may hold all.
    Raises :class:`ConfigError` for a file that cannot be read or parsed.
    """
    path = config_path(settings)
    name = settings.profile or os.environ.get("OCI_CLI_PROFILE") or "DEFAULT"
    # Filled from a file, a variable has the line break of the file's end.
    given = {key: os.environ.get(variable, "").strip() for key, variable in _VARIABLES.items()}
    overrides = {key: text for key, text in given.items() if text}
    if not os.path.exists(path):
        return OciProfile(name, path, overrides, f"no OCI configuration: {path} does not exist")
    parsed = _parsed(path)
    if not is_silenced():
        warn_of_exposure(path, "the OCI configuration")
    if name not in parsed:
        known = ", ".join([*(["DEFAULT"] if parsed.defaults() else []), *parsed.sections()]) or "none"
        absence = f"the profile {name} is not in {path} (there are: {known})"
        return OciProfile(name, path, overrides, absence)
    return OciProfile(name, path, {**parsed[name], **overrides})


def is_silenced() -> bool:
    """Whether the user wants no warnings of files that others can read, by the OCI CLI's own variable."""
    return os.environ.get("OCI_CLI_SUPPRESS_FILE_PERMISSIONS_WARNING", "").lower() in ("true", "1", "yes")


def config_path(settings: OciSettings) -> str:
    """The settings', OCI_CLI_CONFIG_FILE, ``~/.oci/config``, else OCI_CONFIG_FILE, the order of CLI and SDK."""
    usual = os.path.expanduser("~/.oci/config")
    chosen = settings.config_file or os.environ.get("OCI_CLI_CONFIG_FILE")
    if not chosen and not os.path.isfile(usual):
        chosen = os.environ.get("OCI_CONFIG_FILE")
    return os.path.expanduser(chosen) if chosen else usual


CA_SETTING = "OCI_CLI_CERT_BUNDLE"
"""What errors suggest for a CA bundle."""


def ca_bundle(settings: OciSettings) -> str | None:
    """Path of a CA bundle, found as the OCI CLI finds it; None means the system's."""
    variables = ("OCI_CLI_CERT_BUNDLE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    chosen = settings.ca_bundle or next((os.environ[name] for name in variables if os.environ.get(name)), None)
    if not chosen:
        return None
    path = os.path.expanduser(chosen)
    if not os.path.exists(path):
        raise ConfigError(f"the CA bundle {path} does not exist", hint=f"see {', '.join(variables)}")
    return path


def _parsed(path: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(read_file(path, "the OCI configuration", hint=_START).decode())
    except (configparser.Error, UnicodeDecodeError) as exc:
        where = getattr(exc, "lineno", None) or ", ".join(str(line) for line, _ in getattr(exc, "errors", []))
        # not "from exc": the parser's message quotes the line, which may hold a pass phrase
        raise ConfigError(
            f"cannot parse {path}" + (f", line {where}" if where else ""), hint="it has lines 'name=value'"
        ) from None
    return parser
