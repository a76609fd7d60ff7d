"""moto, asked without a web framework in between: a request in, its answer out.

moto keeps its state once per process, so one local AWS runs in a process at a time.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes
from xml.parsers.expat import ExpatError

from keepstep_localcloud.aws.body import S3Error
from keepstep_localcloud.aws.http import Request, Response


def reset() -> None:
    """Empties every service."""
    from moto.moto_api._internal.models import moto_api_backend

    moto_api_backend.reset()


def ask_s3(request: Request) -> Response:
    """S3's answer, its errors included. Raises :class:`S3Error` for XML that does not parse."""
    from moto.core.request import Request as MotoRequest
    from moto.s3.responses import S3Response
    from werkzeug.datastructures import ImmutableMultiDict
    from werkzeug.exceptions import HTTPException

    asked = MotoRequest(environ(request))
    if request.method != "POST":
        # An object whose content type is a form's is not a form.
        vars(asked).update(form=ImmutableMultiDict(), files=ImmutableMultiDict())
    key = request.path.removeprefix("/").partition("/")[2]
    dispatch: Callable[..., Any] = S3Response.key_dispatch if key else S3Response.bucket_dispatch
    try:
        status, headers, body = dispatch(asked, asked.raw_url, dict(asked.headers))
    except HTTPException as exc:
        status, headers, body = exc.code, dict(exc.get_headers()), exc.get_body()
    except (ExpatError, UnicodeEncodeError) as exc:
        raise S3Error(400, "MalformedXML", "The XML you provided was not well-formed") from exc
    content = body.encode() if isinstance(body, str) else bytes(body)
    if status == 403 and not content:
        raise S3Error(403, "AccessDenied", "Access Denied")
    return Response(int(status), content, {name: str(value) for name, value in headers.items()})


class Everything:
    """All that moto knows, chosen as its own server chooses (by the signature's service)."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        self._application = DomainDispatcherApplication(create_backend_app)

    def ask(self, request: Request) -> Response:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            started.append((status, headers))

        body = b"".join(self._application(environ(request), start_response))
        status, headers = started[-1]
        return Response(int(status.split()[0]), body, dict(headers))


def environ(request: Request) -> dict[str, Any]:
    """The request as WSGI (PEP 3333), with the two keys that moto reads besides."""
    path, _, query = request.target.partition("?")
    headers, spelling = _headers(request)
    return {
        **headers,
        "moto.preserved_header_names": spelling,
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path.encode("latin-1")).decode("latin-1"),
        "QUERY_STRING": query,
        "RAW_URI": request.target,
        "CONTENT_LENGTH": str(len(request.body)),
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }


def _headers(request: Request) -> tuple[dict[str, str], dict[str, str]]:
    """Variables, and how the names of metadata with an underscore are spelt, which WSGI turns into a dash.

    Other names with one are left out: they would pass for those with a dash.
    """
    variables: dict[str, str] = {}
    spelling: dict[str, str] = {}
    for name, value in request.headers.items():
        if "_" in name and (not name.startswith("x-amz-meta-") or name.replace("_", "-") in request.headers):
            continue
        variable = name.upper().replace("-", "_")
        variable = variable if variable in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{variable}"
        if name != "transfer-encoding":
            variables[variable] = value
        if "_" in name:
            spelling[variable] = name
    return variables, spelling
