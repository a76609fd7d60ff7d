"""A channel for alerts that needs no mail server and no secret: a topic of OCI Notifications, over HTTPS.

    oci-notifications://ocid1.onstopic.oc1.eu-frankfurt-1.…?auth=instance_principal

``auth``, ``profile`` and ``config_file`` are those of ``[identity.oci]``; anything omitted is resolved as by the
oci command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from keepstep.errors import ConfigError, Error

if TYPE_CHECKING:
    from keepstep.clouds.oci import OciSettings

KIND = "oci-notifications"
_OPTIONS = ("auth", "profile", "config_file")


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic, and the identity that publishes to it."""

    ocid: str
    auth: str | None = None
    profile: str | None = None
    config_file: str | None = None

    def send(self, title: str, body: str) -> str:
        """Publishes one message; returns what went wrong, or an empty string."""
        from keepstep.clouds.oci import OciIdentity
        from keepstep.clouds.oci_operations import publish

        try:
            publish(self.ocid, title, body, OciIdentity(self._settings()))
        except Error as exc:
            return exc.message + (f" ({exc.hint})" if exc.hint else "")
        return ""

    def look(self) -> str:
        """The topic's name. Raises :class:`Error`."""
        from keepstep.clouds.oci import OciIdentity
        from keepstep.clouds.oci_operations import look_at_topic

        return look_at_topic(self.ocid, OciIdentity(self._settings()))

    def _settings(self) -> OciSettings:
        from keepstep.clouds.oci import OciSettings

        return OciSettings(auth=self.auth, profile=self.profile, config_file=self.config_file)


def is_topic(url: str) -> bool:
    """Whether the address is of this kind, well formed or not."""
    return url.partition(":")[0].strip().lower() == KIND


def topic_of(url: str) -> Topic:
    """Parses the address. Raises :class:`ConfigError` if it is not the address of a topic."""
    from keepstep.clouds.oci import KINDS
    from keepstep.clouds.oci_operations import TOPIC

    ocid, _, query = url.partition(":")[2].removeprefix("//").partition("?")
    hint = f"{KIND}://ocid1.onstopic…, optionally with ?auth=instance_principal"
    if not TOPIC.fullmatch(ocid.strip("/ ")):
        raise ConfigError("this is not the OCID of a topic", hint=hint)
    given = {key: values[-1] for key, values in parse_qs(query, keep_blank_values=True).items()}
    if unknown := sorted(given.keys() - set(_OPTIONS)):
        raise ConfigError(f"unknown option: {unknown[0]}", hint=f"options are {', '.join(_OPTIONS)}")
    if given.get("auth") and given["auth"] not in KINDS:
        raise ConfigError(f"unknown OCI authentication method: {given['auth']}", hint=f"one of {', '.join(KINDS)}")
    return Topic(ocid.strip("/ "), **{key: value or None for key, value in given.items()})
