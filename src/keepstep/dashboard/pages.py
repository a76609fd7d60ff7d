"""The status page: server-rendered, read-only, complete without JavaScript, and live with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from keepstep.clock import Clock, SystemClock
from keepstep.config import Config
from keepstep.dashboard.access import HEADERS, Access
from keepstep.dashboard.chart import bars
from keepstep.dashboard.snapshots import SnapshotCache
from keepstep.dashboard.spend import Books
from keepstep.dashboard.views import Views, moment, tone_of
from keepstep.errors import Error
from keepstep.monitoring.conditions import AUDIT
from keepstep.monitoring.words import achievement
from keepstep.runs.history import History
from keepstep.secret import Secret
from keepstep.text import shown
from keepstep.units import in_words, size_in_words

_LOOK = 2.0
"""Seconds between checks of the state for live pages."""
_BEAT = 20
"""Checks after which live pages are refreshed anyway, because times are shown relative to now."""
_FOLLOWERS = 16
"""Maximum live pages at a time; the others behave as without JavaScript."""

Handler = Callable[[Request], Awaitable[Response]]


@dataclass
class Dashboard:
    """All pages of one state. ``config`` may return another configuration after a reload."""

    config: Callable[[], Config]
    history: History
    host: str
    """The listening address."""
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        token = self.config().dashboard.token
        self._access = Access(self.host, Secret(token.get_secret_value()) if token else None)
        self._views = Views(self.history)
        self._looks = SnapshotCache(self.config, self.clock)
        self._books = Books(self.config, self.clock)
        self._followers = 0
        loader = PackageLoader("keepstep.dashboard")
        self._templates = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_harmless
        )
        self._templates.globals |= {
            "did": achievement,
            "size": size_in_words,
            "tone": tone_of,
            "moment": moment,
            "words": in_words,
        }

    def application(self) -> Starlette:
        pages = {
            "/": self._front,
            "/jobs/{name:path}": self._job,
            "/runs/{key}": self._run,
            "/spend": self._spend,
            "/live": self._live,
        }
        return Starlette(
            routes=[
                *(Route(path, self._guarded(page)) for path, page in pages.items()),
                Route("/login", self._login, methods=["GET", "POST"]),
                Mount("/static", _Static(packages=[("keepstep.dashboard", "static")])),
            ],
            exception_handlers={404: self._absent},
        )

    def _guarded(self, page: Handler) -> Handler:
        async def answer(request: Request) -> Response:
            refusal = self._access.refusal(request)
            if refusal == "login":
                return Response(status_code=303, headers={**HEADERS, "Location": "/login"})
            if refusal:
                return self._shown("message.html", 403, title="access denied", text=refusal)
            try:
                return await page(request)
            except Error as error:
                text = f"{error.message}. {error.hint or ''}"
                return self._shown("message.html", 503, title="the state does not respond", text=text)

        return answer

    async def _front(self, request: Request) -> Response:
        config, now = self.config(), self.clock.now()
        jobs = await asyncio.to_thread(self._views.jobs, config, now)
        alerts = await asyncio.to_thread(self._views.alerts, config)
        looks = {name: look for name in config.job if (look := self._looks.of(name))}
        failing = {job.name for job in jobs if job.tone == "bad"}
        failing |= {name for name, look in looks.items() if look.is_broken}
        failing |= {alert.job for alert in alerts if alert.name == AUDIT}
        return self._shown("front.html", jobs=jobs, alerts=alerts, looks=looks, failing=len(failing))

    async def _job(self, request: Request) -> Response:
        config, name = self.config(), request.path_params["name"]
        if name not in config.job:
            raise HTTPException(404)
        job = await asyncio.to_thread(self._views.job, config, name, self.clock.now())
        look = self._looks.of(name)
        return self._shown("job.html", job=job, settings=config.job[name], looks={name: look} if look else {})

    async def _run(self, request: Request) -> Response:
        text = request.query_params.get("page", "1")
        page = int(text) if text.isdecimal() and len(text) < 9 else 1
        view = await asyncio.to_thread(self._views.run, request.path_params["key"], page)
        if view is None:
            raise HTTPException(404)
        return self._shown("run.html", view=view, run=view.run)

    async def _spend(self, request: Request) -> Response:
        return self._shown("spend.html", spend=self._books.spend(), bars=bars)

    async def _login(self, request: Request) -> Response:
        if request.method == "GET":
            return self._shown("login.html", is_wrong=False)
        response = await self._access.login(request)
        if response is None:
            return self._shown("login.html", 403, is_wrong=True)
        response.headers.update(HEADERS)
        return response

    async def _live(self, request: Request) -> Response:
        if self._followers >= _FOLLOWERS:
            return Response("too many follow already\n", 503, {**HEADERS, "Retry-After": "60"})
        return StreamingResponse(self._changes(), headers=HEADERS, media_type="text/event-stream")

    async def _changes(self) -> AsyncIterator[str]:
        """Sends an event whenever a page would look different: server-sent events of the HTML standard."""
        self._followers += 1
        try:
            before, quiet = "", 0
            yield "retry: 5000\n\n"
            while True:
                mark = f"{await asyncio.to_thread(self._mark)} {self._looks.mark} {self._books.mark}"
                quiet += 1
                if before and (mark != before or quiet >= _BEAT):
                    yield "data: changed\n\n"
                    quiet = 0
                before = mark
                await asyncio.sleep(_LOOK)
        finally:
            self._followers -= 1

    def _mark(self) -> str:
        try:
            return self._views.mark()
        except Error as error:
            return error.message

    async def _absent(self, request: Request, exc: Exception) -> Response:
        return self._shown("message.html", 404, title="not found", text="this job, run or page does not exist")

    def _shown(self, template: str, status: int = 200, **values: Any) -> Response:
        now = self.clock.now()
        values |= {"now": now, "ago": partial(_ago, now), "until": partial(_until, now)}
        return HTMLResponse(self._templates.get_template(template).render(**values), status, HEADERS)


_LONGEST = 2000
"""Maximum characters of one text on a page."""


def _harmless(value: Any) -> Any:
    """Escapes and shortens every text that a template shows, except markup of the templates themselves."""
    return shown(value, _LONGEST) if isinstance(value, str) and not hasattr(value, "__html__") else value


class _Static(StaticFiles):
    """Serves the style and the script, which are not secret."""

    async def get_response(self, path: str, scope: Any) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(HEADERS | {"Cache-Control": "max-age=300"})
        return response


def _ago(now: datetime, then: datetime | None) -> str:
    return f"{in_words(now - then)} ago" if then else "never"


def _until(now: datetime, then: datetime | None) -> str:
    if then is None:
        return ""
    return f"in {in_words(then - now)}" if then > now else f"{in_words(now - then)} overdue"
