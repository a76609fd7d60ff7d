"""What is different in the OCI SDK here: proxies, limits, redirects, the names it believes, and the one it goes by.

It is asked for principals only. Its own way of doing these things is not open to arguments, so a few of its
functions are replaced, once a process; tests hold each to what it is for.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from urllib.parse import urlsplit

from keepstep.clouds.http import USER_AGENT
from keepstep.clouds.oci_regions import is_region
from keepstep.clouds.sdk_guard import guard_requests
from keepstep.errors import ConfigError


def prepare() -> None:
    """From now on, in this process; called before anything of the SDK is used."""
    from oci._vendor import requests

    guard_requests(requests)
    _prepare(requests)


@cache
def _prepare(requests: Any) -> None:
    from oci.auth.signers import InstancePrincipalsSecurityTokenSigner

    session = requests.sessions.Session
    session.get_redirect_target = _refuse
    session.prepare_request = _signed(session.prepare_request)
    signer = InstancePrincipalsSecurityTokenSigner
    signer._set_region_from_imds = _checked(signer._set_region_from_imds)


def _refuse(session: Any, response: Any) -> None:
    """Neither a metadata service nor a token service sends anybody elsewhere."""
    if response.is_redirect:
        raise ConfigError(
            f"{urlsplit(response.url).netloc} answered {response.status_code} instead of a principal",
            hint="its redirect is not followed: what is asked there is a credential",
        )


def _signed(prepare_request: Any) -> Any:
    def prepare(session: Any, request: Any) -> Any:
        prepared = prepare_request(session, request)
        prepared.headers["User-Agent"] = USER_AGENT
        prepared.headers["Accept-Encoding"] = "identity"
        return prepared

    return prepare


def _checked(set_region: Any) -> Any:
    """The region becomes part of the host that the instance proves itself to."""

    def checked(signer: Any) -> None:
        set_region(signer)
        if not is_region(signer.region):
            name = ascii(signer.region[:80])
            del signer.region
            raise ConfigError(
                f"the metadata service names a region that is none: {name}",
                hint="a region that keepstep does not know is described in OCI_REGION_METADATA",
            )

    return checked
