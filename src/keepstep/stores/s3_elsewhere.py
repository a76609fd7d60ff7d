"""What an answer says of another place: a region that a bucket is in, or an address that it leads to.

Anybody who answers may say anything. A name from an answer is used only when the whole of it is a region's name,
because on AWS it becomes part of the host that the next signed request goes to. An address is never followed, only
shown.
"""

from __future__ import annotations

import re

from keepstep.clouds.http import Response
from keepstep.errors import ConfigError
from keepstep.stores.s3_listing import unescape

_OF_AWS = re.compile(r"[a-z]{2,5}(-[a-z]{2,12}){1,3}-[0-9]{1,2}", re.ASCII)
"""As in every partition (botocore's partitions.json): ``us-east-1``, ``us-gov-west-1``, ``eusc-de-east-1``."""
_OF_OTHERS = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
"""Other stores call their regions as they like; there the name is only signed."""

_ELEMENT = re.compile(r"<Region>([^<]{1,100})</Region>")
_WORDS = re.compile(r"expect(?:ed|ing|s)?(?: region)?:? ['\"`]([^'\"`\s]{1,100})['\"`]", re.IGNORECASE)
"""MinIO, Garage and others write: the region 'us-east-1' is wrong; expecting 'eu-1'."""
_SCOPE = re.compile(r"[0-9]{8}/([^/\s]{1,100})/s3/aws4_request")

_HOST = re.compile(r"\bs3[.-]([a-z0-9-]{1,64})\.amazonaws\.com\b", re.ASCII)
"""Of an address of S3's own; only the region in it is used."""

_WRONG_REGION = frozenset(
    {"AuthorizationHeaderMalformed", "PermanentRedirect", "IllegalLocationConstraintException"}
)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


def is_elsewhere(response: Response, code: str) -> bool:
    """Whether the answer says that the request was made in the wrong place."""
    return response.status in _REDIRECTS or code in _WRONG_REGION


def region_in(response: Response, ours: str, *, is_aws: bool) -> str | None:
    """The region that the answer names instead of the configured one: in its header, its element, or else in its
    words."""
    text = unescape(response.document[:65536].decode("utf-8", "replace"))
    named = [response.headers.get("x-amz-bucket-region", ""), *_ELEMENT.findall(text)]
    named += [*_WORDS.findall(text), *_SCOPE.findall(text), *_HOST.findall(response.location), *_HOST.findall(text)]
    valid = _OF_AWS if is_aws else _OF_OTHERS
    others = [name for name in named if name and name != ours]
    return others[0] if others and valid.fullmatch(others[0]) else None


def elsewhere(response: Response, code: str, message: str, thing: str) -> ConfigError:
    """The error for an answer that names no region which could be used; in the store's own words."""
    where = response.location
    text = f"{thing}: {code}" + (f": {message.rstrip('.')}" if message else "")
    if where:
        return ConfigError(
            f"{text}; the store redirects to {where}", hint="if you trust that address, name it as the endpoint"
        )
    return ConfigError(
        f"{text}; the answer names no region that could be used",
        hint="name the region that the store expects: AWS_REGION, --region or region in the profile",
    )
