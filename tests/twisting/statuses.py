"""Modes that refuse, or send elsewhere."""

from __future__ import annotations

import email.utils
import time

from tests.twisting.exchange import Answer, Request, Send, error, mode

PASSING = (408, 425, 429, 500, 502, 503, 504, *range(520, 528))
REDIRECTS = (301, 302, 303, 307, 308)


def _status_mode(status: int) -> None:
    async def refused_once(request: Request, send: Send) -> Answer:
        return (
            await send(request) if request.again > 1 else Answer(status, {"content-type": "text/html"}, b"<h1>busy")
        )

    refused_once.__doc__ = f"The first request of each is answered with {status} and a gateway's page."
    mode(name=f"status-{status}")(refused_once)


def _always_mode(status: int) -> None:
    async def refused(request: Request, send: Send) -> Answer:
        return Answer(status, {"content-type": "text/html"}, b"<h1>busy")

    refused.__doc__ = f"Every request is answered with {status} and a gateway's page."
    mode(name=f"always-{status}")(refused)


def _redirect_mode(status: int) -> None:
    async def redirected(request: Request, send: Send) -> Answer:
        return Answer(status, {"location": f"https://login.example.com/?to={request.path}"})

    redirected.__doc__ = (
        f"Everything is answered with {status} and a Location, as captive portals and moved buckets do."
    )
    mode(name=f"redirect-{status}")(redirected)


for _status in PASSING:
    _status_mode(_status)
    _always_mode(_status)
for _status in REDIRECTS:
    _redirect_mode(_status)


@mode()
async def redirect_without_location(request: Request, send: Send) -> Answer:
    """301 that says nothing."""
    return Answer(301)


def _region(request: Request) -> str:
    """What the request was signed for."""
    credential = request.headers.get("authorization", "").partition("Credential=")[2]
    return "".join(credential.split("/")[2:3])


async def _only_in(request: Request, send: Send, region: str, answer: Answer) -> Answer:
    return await send(request) if _region(request) == region else answer


@mode()
async def region_in_text(request: Request, send: Send) -> Answer:
    """Names the region that it wants only in the words of its error."""
    said = "The authorization header is malformed; the region 'us-east-1' is wrong; expecting 'garage'"
    return await _only_in(request, send, "garage", error(400, "AuthorizationHeaderMalformed", said))


@mode()
async def region_in_unknown_words(request: Request, send: Send) -> Answer:
    """Wants another region, and says so as nobody else does."""
    said = "Scope unexpected: we call this place nowhere-1"
    return await _only_in(request, send, "nowhere-1", error(400, "AuthorizationHeaderMalformed", said))


@mode()
async def region_underscore(request: Request, send: Send) -> Answer:
    """Its region has a name that none of AWS's has, and is named in the usual element."""
    wanted = error(400, "AuthorizationHeaderMalformed", "wrong region")
    body = wanted.text.replace("</Error>", "<Region>garage_1</Region></Error>")
    return await _only_in(request, send, "garage_1", wanted.saying(body))


@mode()
async def region_hostile(request: Request, send: Send) -> Answer:
    """The header with the region holds another host's address."""
    return error(301, "PermanentRedirect", "elsewhere", x_amz_bucket_region="x@127.0.0.1:9/")


@mode()
async def retry_after_forever(request: Request, send: Send) -> Answer:
    """Busy once, and asks for patience beyond the calendar."""
    return (
        await send(request) if request.again > 1 else Answer(503, {"retry-after": "Fri, 31 Dec 9999 23:59:59 GMT"})
    )


@mode()
async def retry_after_seconds(request: Request, send: Send) -> Answer:
    """Busy once, and says for how long."""
    return await send(request) if request.again > 1 else Answer(503, {"retry-after": "0.2"})


@mode()
async def date_9999(request: Request, send: Send) -> Answer:
    """Its clock is in the year 9999, and it refuses signatures of today."""
    skewed = error(403, "RequestTimeTooSkewed", "too skewed", date="Fri, 31 Dec 9999 23:59:59 GMT")
    return skewed if request.again == 1 else await send(request)


@mode()
async def clock_ahead(request: Request, send: Send) -> Answer:
    """Its clock is twenty minutes ahead, and it refuses signatures of now."""
    then = email.utils.formatdate(time.time() + 1200, usegmt=True)
    stamp = time.strftime("%Y%m%dT%H%M", time.gmtime(time.time() + 1200))[:-1]
    is_near = request.headers.get("x-amz-date", "").startswith(stamp)
    return await send(request) if is_near else error(403, "RequestTimeTooSkewed", "too skewed", date=then)


@mode()
async def expired_once(request: Request, send: Send) -> Answer:
    """The first token has expired."""
    token = request.headers.get("x-amz-security-token", "")
    expired = request.memory.__dict__.setdefault("expired_token", token)
    return (
        error(400, "ExpiredToken", "The provided token has expired.") if token == expired else await send(request)
    )


@mode()
async def expires_later(request: Request, send: Send) -> Answer:
    """Every token is refused for good after fifty requests."""
    served = request.memory.__dict__.setdefault("served", [])
    if len(served) >= 50:
        return error(403, "ExpiredToken", "The provided token has expired.")
    served.append(request.target)
    return await send(request)


@mode()
async def denied(request: Request, send: Send) -> Answer:
    """Every request is refused."""
    return error(403, "AccessDenied", "Access Denied")


@mode()
async def slow_down_often(request: Request, send: Send) -> Answer:
    """Two of three requests are told to come more slowly."""
    return await send(request) if request.again > 2 else error(503, "SlowDown", "Please reduce your request rate.")


@mode()
async def message_forges(request: Request, send: Send) -> Answer:
    """The error's message has line breaks, terminal codes and markup in it."""
    said = (
        "no\r\nerror: everything was deleted &#27;[2J&lt;a href=&quot;https://example.com&quot;&gt;log in&lt;/a&gt;"
    )
    return error(403, "AccessDenied", said)


@mode()
async def message_huge(request: Request, send: Send) -> Answer:
    """The error's message is a megabyte."""
    return error(400, "InvalidRequest", "x" * 1_000_000)
