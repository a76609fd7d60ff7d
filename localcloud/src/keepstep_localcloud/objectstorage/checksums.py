"""The checksums that a body comes with, compared with those it has.

MD5 is always computed; CRC32C, SHA-256 or SHA-384 is when ``opc-checksum-algorithm`` asks for it, and is then given
back with the object. Source: the parameters of PutObject in the API reference, messages included.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from keepstep_localcloud.objectstorage.problems import invalid

HEADERS = {
    "MD5": "Content-MD5",
    "CRC32C": "opc-content-crc32c",
    "SHA256": "opc-content-sha256",
    "SHA384": "opc-content-sha384",
}


@dataclass(frozen=True)
class Checksums:
    """What the client says of the body; algorithms have OCI's names, values are base64."""

    algorithms: tuple[str, ...]
    expected: Mapping[str, str]

    @classmethod
    def parsed(cls, headers: Mapping[str, str]) -> Checksums:
        """Raises 400 ``MissingOrInvalidChecksumType``."""
        extra = headers.get("opc-checksum-algorithm", "MD5").upper()
        if extra not in HEADERS:
            raise invalid(f"'{extra}' is not a checksum algorithm", "MissingOrInvalidChecksumType")
        algorithms = tuple(dict.fromkeys(("MD5", extra)))
        given = {name: headers.get(HEADERS[name].lower()) for name in algorithms}
        return cls(algorithms, {name: value for name, value in given.items() if value})

    def check(self, digests: Mapping[str, bytes]) -> dict[str, str]:
        """The header to keep with the object. Raises 400 ``UnmatchedContentMD5`` and the like."""
        actual = {name: base64.b64encode(digests[name]).decode() for name in self.algorithms}
        for name, value in self.expected.items():
            if value != actual[name]:
                message = (
                    f"The computed {name} of the request body ({actual[name]}) "
                    f"does not match the {HEADERS[name]} header ({value})"
                )
                raise invalid(message, f"UnmatchedContent{name}")
        return {HEADERS[name]: value for name, value in actual.items() if name != "MD5"}
