"""The local OCI as one ASGI application: every service at one address.

It finds the route, checks the signature on the raw path, lets faults strike, calls the service, and writes errors
the way OCI does. Nothing here knows what a bucket or a secret is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

from keepstep_localcloud import signatures
from keepstep_localcloud.exchange import Exchange, Gone, Receive, Scope, Send
from keepstep_localcloud.faults import Effect, Faults
from keepstep_localcloud.keys import KeyRing
from keepstep_localcloud.policies import Policies
from keepstep_localcloud.router import Router
from keepstep_localcloud.wire import Principal, Request, Response, Route, ServiceError

NOBODY = Principal("", "", "nobody")
NO_EFFECT = Effect.model_construct()


class App:
    """The application; run it with :class:`keepstep_localcloud.exchange.Protocol`."""

    def __init__(self, routes: Iterable[Route], keys: KeyRing, faults: Faults, policies: Policies) -> None:
        self._router = Router(routes)
        self._keys = keys
        self._faults = faults
        self._policies = policies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(scope, receive, send)
        effect = NO_EFFECT
        try:
            if exchange.target == Faults.PATH:
                status, report = self._faults.serve(exchange.method, await exchange.body())
                response = Response(status, report)
            elif exchange.target == Policies.PATH:
                response = self._policies.serve(exchange.method, await exchange.body())
            else:
                route, request, parameters = self._arrived(exchange)
                effect = self._faults.take(route.operation, exchange.target) or NO_EFFECT
                response = await self._act(exchange, route, request, parameters, effect)
            if effect.lose_reply:
                raise Gone
        except ServiceError as exc:
            body = {"code": exc.code, "message": exc.message}
            response = Response(exc.status, body, {**effect.headers, **exc.headers})
        except Gone:
            await exchange.drop()
            return
        await exchange.answer(response, cut=effect.cut)

    def _arrived(self, exchange: Exchange) -> tuple[Route, Request, dict[str, str]]:
        """The route and the request, whose signature holds."""
        raw_path, _, query = exchange.target.partition("?")
        try:
            route, path, parameters = self._router.find(exchange.method, raw_path)
        except ServiceError:
            # What there is, and what not, is told to nobody unknown.
            self._authenticated(exchange, streams=False)
            raise
        principal = NOBODY if route.is_open else self._authenticated(exchange, streams=route.streams)
        decoded = dict(parse_qsl(query, keep_blank_values=True)) if query else {}
        # Oracle's Go SDK sends the headers that nobody set, empty.
        headers = {name: value for name, value in exchange.headers.items() if value}
        request = Request(exchange.method, path, decoded, headers, b"", principal, exchange.target)
        return route, request, parameters

    def _authenticated(self, exchange: Exchange, *, streams: bool) -> Principal:
        now = time.time()
        signature = signatures.parse(exchange.headers.get("authorization", ""))
        required = signatures.required_headers(exchange.method, streams=streams)
        signatures.check_headers(signature, exchange.headers, required, now)
        key, principal = self._keys.find(signature.key_id, now)
        signed = signatures.signing_string(signature, exchange.method, exchange.target, exchange.headers)
        if key is not None:
            signatures.verify(signature, signed, key)
        return principal

    async def _act(
        self, exchange: Exchange, route: Route, request: Request, parameters: Mapping[str, str], effect: Effect
    ) -> Response:
        if effect.latency_ms:
            await asyncio.sleep(effect.latency_ms / 1000)
        if effect.status is not None:
            raise ServiceError(*effect.error())
        if not route.streams and request.method not in ("GET", "HEAD", "DELETE"):
            request.body = await exchange.body()
            if not route.is_open:
                signatures.check_body(request.headers, request.body)
        if not route.is_open:
            self._policies.check(route.operation, request, parameters)
        request.stale = effect.stale
        if route.streams:
            request.chunks = exchange.checked_chunks()
        return await route.handler(request, **parameters)
