"""Checks when certificates expire: those of databases, CA files and wallets."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Iterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from keepstep.config import Database
from keepstep.databases.adapters import adapter_of
from keepstep.databases.endpoint import Endpoint, trust
from keepstep.databases.wallet import Wallet
from keepstep.doctor.check import Check, fail, ok
from keepstep.doctor.context import ProbeContext
from keepstep.doctor.probe import Probe
from keepstep.errors import ConfigError, Error, Transient
from keepstep.jobs.rotate import ResolvedRotation
from keepstep.units import in_words

SOON = timedelta(days=14)
"""A certificate that expires sooner than this must be renewed now."""
_PATIENCE = 10.0
_HOST = re.compile(r"\(\s*HOST\s*=\s*([^)\s]+)\s*\)", re.IGNORECASE)
_PORT = re.compile(r"\(\s*PORT\s*=\s*(\d+)\s*\)", re.IGNORECASE)
_EASY = re.compile(r"(?:tcps:)?(?://)?([\w.-]+):(\d+)", re.IGNORECASE)


def probes(context: ProbeContext, job: ResolvedRotation) -> Iterator[Probe]:
    for member in job.job.database:
        about = f"{member.engine} {member.host or member.dsn or ''}"
        yield Probe("tls", about, partial(_tls, context, job, member, about))
        if member.ca:
            yield Probe("ca", member.ca, partial(_ca, context, member.ca))
        if member.wallet:
            yield Probe("wallet", member.wallet, partial(_wallet, context, job, member.wallet))


def _read_wallet(context: ProbeContext, job: ResolvedRotation, address: str) -> Awaitable[Wallet]:
    """Reads the wallet from wherever it is, as a rotation does."""
    return job.parts(context.stack, lambda text: None, context.assembly(job.settings)).wallet(address)


async def _tls(context: ProbeContext, job: ResolvedRotation, member: Database, about: str) -> Check:
    tls, dsn = None, member.dsn
    if member.wallet:
        wallet = await _read_wallet(context, job, member.wallet)
        tls, dsn = wallet.trust(), wallet.names.get((dsn or "").lower(), dsn)
    engine = member.engine
    host, port = (member.host, member.port or engine.facts.port) if member.host else _place_of(dsn or "")
    endpoint = Endpoint(engine, host, port, member.name or "", member.ca)
    der = await asyncio.to_thread(server_certificate, endpoint, tls or trust(endpoint))
    return _judged("tls", f"{about}:{port}", _end_of(der), context.clock.now(), "renew the server's certificate")


async def _ca(context: ProbeContext, path: str) -> Check:
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(await asyncio.to_thread(Path(path).read_bytes))
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}", hint="correct ca") from exc
    except ValueError as exc:
        raise ConfigError(f"{path} contains no certificate", hint="it must be a PEM file") from exc
    # One of several authorities may expire: the last one to do so decides.
    ends = max(certificate.not_valid_after_utc for certificate in found)
    return _judged("ca", path, ends, context.clock.now(), "get the new CA bundle; for RDS: global-bundle.pem")


async def _wallet(context: ProbeContext, job: ResolvedRotation, address: str) -> Check:
    wallet = await _read_wallet(context, job, address)
    wallet.trust()
    fix = "download a new wallet (oci db autonomous-database generate-wallet), and replace this one"
    return _judged("wallet", address, wallet.expires, context.clock.now(), fix)


def _place_of(dsn: str) -> tuple[str, int]:
    """Parses host and port from a connect descriptor or ``host:port/service``."""
    if (host := _HOST.search(dsn)) and (port := _PORT.search(dsn)):
        return host[1], int(port[1])
    if found := _EASY.match(dsn):
        return found[1], int(found[2])
    raise ConfigError(
        "the dsn names neither host nor port", hint="host:port/service, a descriptor, or a wallet's name"
    )


def server_certificate(endpoint: Endpoint, context: ssl.SSLContext) -> bytes:
    """The server's certificate in DER form, verified against its name. Blocks."""
    try:
        with socket.create_connection((endpoint.host, endpoint.port), _PATIENCE) as plain:
            adapter_of(endpoint.engine).start_tls(plain, endpoint)
            with context.wrap_socket(plain, server_hostname=endpoint.host) as secured:
                return secured.getpeercert(binary_form=True) or b""
    except ssl.SSLCertVerificationError as exc:
        hint = "name the CA file in ca (RDS_CA), or the wallet; TLS is never downgraded"
        raise Error(f"{endpoint} did not prove its identity: {exc.verify_message}", hint=hint) from exc
    except OSError as exc:
        raise Transient(
            f"{endpoint} cannot be reached: {exc.strerror or exc}", hint="check routes and firewalls"
        ) from exc


def _end_of(der: bytes) -> datetime:
    from cryptography import x509

    return x509.load_der_x509_certificate(der).not_valid_after_utc


def _judged(name: str, about: str, ends: datetime, now: datetime, fix: str) -> Check:
    left = ends - now
    if left <= timedelta():
        return fail(name, about, f"ended on {ends:%Y-%m-%d}", fix)
    if left < SOON:
        return fail(name, about, f"ends in {in_words(left)}, on {ends:%Y-%m-%d}", fix)
    return ok(name, about, f"good until {ends:%Y-%m-%d} ({in_words(left)})")
