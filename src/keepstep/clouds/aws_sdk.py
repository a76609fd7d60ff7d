"""What is different in botocore here: proxies, limits, the files that hold tokens, and the name it goes by.

botocore is asked for credentials and for everything but objects. Its own way of doing these things is not open to
arguments, so a few of its functions are replaced, once a process; tests hold each to what it is for.
"""

from __future__ import annotations

import os
from functools import cache
from importlib import import_module
from typing import Any

from keepstep import __version__
from keepstep.clouds.http import USER_AGENT
from keepstep.clouds.http_proxy import proxy_url
from keepstep.clouds.sdk_guard import guard
from keepstep.errors import ConfigError

_MOST_TOKEN = 64 * 1024
"""Bytes of a file with a token; Kubernetes' have one or two thousand."""


def session(profile: str | None) -> Any:
    """A ``botocore.session.Session`` that keeps to the rules; nothing is asked over a network."""
    import botocore.session

    guard()
    _prepare()
    made = botocore.session.Session(profile=profile)
    made.user_agent_name, made.user_agent_version = "keepstep", __version__
    return made


@cache
def _prepare() -> None:
    http, credentials, utils = (_module(name) for name in ("httpsession", "credentials", "utils"))
    http.create_urllib3_context = _named(http.create_urllib3_context)
    http.ProxyConfiguration.proxy_url_for = lambda self, url: proxy_url(url)
    credentials.ContainerProvider._build_headers = _container_headers
    fetcher = utils.ContainerMetadataFetcher
    fetcher._validate_allowed_url = _checked(fetcher._validate_allowed_url)
    utils.FileWebIdentityTokenLoader.__call__ = lambda self: token_in(
        self._web_identity_token_path, "AWS_WEB_IDENTITY_TOKEN_FILE or web_identity_token_file"
    )


def _module(name: str) -> Any:
    return import_module(f"botocore.{name}")


def _named(create: Any) -> Any:
    """Of a server's certificate only subject alternative names count; see :mod:`.tls`."""

    def context(*args: Any, **more: Any) -> Any:
        made = create(*args, **more)
        made.hostname_checks_common_name = False
        return made

    return context


def _container_headers(provider: Any) -> dict[str, str]:
    """Of a request to a container's credentials endpoint, read again each time, because tokens are replaced."""
    headers = {"User-Agent": USER_AGENT}
    if path := os.environ.get(provider.ENV_VAR_AUTH_TOKEN_FILE):
        headers["Authorization"] = token_in(path, provider.ENV_VAR_AUTH_TOKEN_FILE)
    elif token := os.environ.get(provider.ENV_VAR_AUTH_TOKEN):
        headers["Authorization"] = _one_line(token, f"the variable {provider.ENV_VAR_AUTH_TOKEN}")
    return headers


def _checked(validate: Any) -> Any:
    def checked(fetcher: Any, url: str) -> None:
        try:
            validate(fetcher, url)
        except ValueError as exc:
            raise ConfigError(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI names a host that credentials are not fetched from",
                hint="it is https, or an address of this machine, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23]",
            ) from exc

    return checked


def token_in(path: str, variable: str) -> str:
    """The token in a file, without the line break or blanks around it. ``variable`` is what names the file.

    Raises :class:`ConfigError`, never with anything of the token in it.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_TOKEN + 1)
    except OSError as exc:
        raise ConfigError(
            f"the token file {path} cannot be read: {exc.strerror}",
            hint=f"{variable} names it; in a pod, the service account's volume must be mounted there",
        ) from exc
    if len(content) > _MOST_TOKEN:
        raise ConfigError(f"the token file {path} is too large to hold a token", hint=f"{variable} names it")
    try:
        return _one_line(content.decode("ascii"), f"the token file {path}")
    except UnicodeDecodeError:
        raise ConfigError(f"the token file {path} holds no token: it is not text") from None


def _one_line(text: str, what: str) -> str:
    token = text.strip().removeprefix("\ufeff")
    if not token or any(
        character.isspace() or not character.isprintable() for character in token.replace(" ", "x")
    ):
        raise ConfigError(f"{what} holds no token: it is {'empty' if not token else 'several lines'}")
    return token
