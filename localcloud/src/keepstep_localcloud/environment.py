"""What a client needs to find the local cloud: shell exports, an ``~/.oci/config``, a function's credentials.

Under ``DIR``: ``env`` (to be sourced), ``oci/config`` with the profiles ``DEFAULT`` (API key) and ``SESSION``
(session token), and ``oci/function.env``, the environment of an OCI Function (resource principal 2.2, with files).
"""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from pathlib import Path

from keepstep_localcloud.identity import Identity, write_private
from keepstep_localcloud.tokens import LIFETIME, Tokens

LABEL = b"OCI_API_KEY\n"
"""The last line of a key file, without which the oci CLI prints a warning."""


class Environment:
    """The files under ``folder`` that lead to ``endpoint``."""

    def __init__(self, folder: Path, endpoint: str, identity: Identity, tokens: Tokens) -> None:
        self._folder = folder
        self._oci = folder / "oci"
        self._endpoint = endpoint
        self._identity = identity
        self._tokens = tokens

    def variables(self) -> dict[str, str]:
        """What makes keepstep, the oci CLI and the SDKs use the local OCI."""
        return {
            "OCI_ENDPOINT_URL": self._endpoint,
            "OCI_CLI_ENDPOINT": self._endpoint,
            "OCI_CLI_CONFIG_FILE": str(self._oci / "config"),
            "OCI_CLI_PROFILE": "DEFAULT",
            "OCI_METADATA_BASE_URL": f"{self._endpoint}/opc/v2",
        }

    def write(self, aws: Mapping[str, str]) -> None:
        """Writes every file; ``aws`` are the variables of the local AWS."""
        self._oci.mkdir(mode=0o700, exist_ok=True)
        for name in ("api_key", "session_key", "function_key"):
            write_private(self._oci / f"{name}.pem", self._identity.key_file(name).read_bytes() + LABEL)
        self.renew()
        facts = self._identity.facts
        write_private(self._oci / "config", self._config().encode())
        write_private(self._oci / "function.env", _exports(self._function()).encode())
        comments = {
            "OCI_TENANCY": facts.tenancy,
            "OCI_USER": facts.user,
            "OCI_COMPARTMENT": facts.compartment,
            "OCI_NAMESPACE": facts.namespace,
            "OCI_REGION": facts.region,
        }
        text = "".join(f"# {name}={value}\n" for name, value in comments.items())
        write_private(self._folder / "env", (text + _exports({**self.variables(), **aws})).encode())

    def renew(self) -> None:
        """Writes new tokens for the session and the function."""
        facts = self._identity.facts
        session = self._tokens.issue(
            "user", facts.tenancy, facts.user, self._identity.key("session_key").public_key()
        )
        claims = {"res_tenant": facts.tenancy, "res_compartment": facts.compartment, "res_type": "fnfunc"}
        key = self._identity.key("function_key").public_key()
        function = self._tokens.issue("resource", facts.tenancy, facts.function, key, claims)
        write_private(self._oci / "session_token", session.encode())
        write_private(self._oci / "function_token", function.encode())

    async def keep_renewing(self) -> None:
        """Renews the tokens well before they end, as the CLI's user and the Functions platform do."""
        while True:
            await asyncio.sleep(LIFETIME.total_seconds() / 2)
            self.renew()

    def _config(self) -> str:
        facts = self._identity.facts
        default = {
            "user": facts.user,
            "fingerprint": self._identity.fingerprint,
            "key_file": self._oci / "api_key.pem",
            "tenancy": facts.tenancy,
            "region": facts.region,
        }
        session = {
            "key_file": self._oci / "session_key.pem",
            "security_token_file": self._oci / "session_token",
            "tenancy": facts.tenancy,
            "region": facts.region,
        }
        profiles = {"DEFAULT": default, "SESSION": session}
        return "".join(
            f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in profile.items()) + "\n"
            for name, profile in profiles.items()
        )

    def _function(self) -> dict[str, str]:
        prefix = "OCI_RESOURCE_PRINCIPAL"
        return {
            f"{prefix}_VERSION": "2.2",
            f"{prefix}_RPST": str(self._oci / "function_token"),
            f"{prefix}_PRIVATE_PEM": str(self._oci / "function_key.pem"),
            f"{prefix}_REGION": self._identity.facts.region,
        }


def _exports(variables: Mapping[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())


def read_exports(path: Path) -> dict[str, str]:
    """The variables that sourcing the file would set."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("export ")]
    pairs = (shlex.split(line)[1].partition("=") for line in lines)
    return {name: value for name, _, value in pairs}
