"""From method and raw path to the route that answers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from keepstep_localcloud.wire import Route, ServiceError

VERSION = re.compile(r"/20\d{6}(?=/)")
"""An API's version before its paths: every path is served with and without it."""


class Router:
    """Every route of every service, looked up by method and first segment of the path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes: dict[str, dict[str, list[Route]]] = {}
        for route in routes:
            self._routes.setdefault(route.root, {}).setdefault(route.method, []).append(route)

    def find(self, method: str, path: str) -> tuple[Route, str, dict[str, str]]:
        """The route, the path without version, and the decoded parameters. Raises 404 ``NotFound`` and 405."""
        if path.startswith("/20"):
            path = VERSION.sub("", path, count=1)
        routes = self._routes.get(path.split("/", 2)[1] if path.startswith("/") else "", {})
        for route in routes.get(method, ()):
            parameters = route.match(path)
            if parameters is not None:
                return route, path, parameters
        if any(route.match(path) is not None for others in routes.values() for route in others):
            raise ServiceError(405, "MethodNotAllowed", f"{method} is not supported here")
        raise ServiceError(404, "NotFound", f"There is no operation at {method} {path}")
