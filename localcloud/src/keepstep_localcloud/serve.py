"""The local cloud as a process: every service put together under one folder, served until it is told to stop."""

from __future__ import annotations

import asyncio
import fcntl
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import uvicorn
import uvloop
from cryptography import x509

from keepstep_localcloud import federation, iam, metadata, operations, resources, vault
from keepstep_localcloud.app import App
from keepstep_localcloud.bling import Bling
from keepstep_localcloud.clock import SystemClock
from keepstep_localcloud.environment import Environment
from keepstep_localcloud.errors import ConfigError
from keepstep_localcloud.exchange import Protocol
from keepstep_localcloud.faults import Faults
from keepstep_localcloud.identity import REGION, Identity
from keepstep_localcloud.keys import KeyRing
from keepstep_localcloud.objectstorage import ObjectStorage
from keepstep_localcloud.policies import Policies, parse_policy
from keepstep_localcloud.ports import HOST, Ports
from keepstep_localcloud.storage import Database, Documents
from keepstep_localcloud.tokens import Tokens


@dataclass(frozen=True)
class Settings:
    """What the command line says."""

    folder: Path
    port: int = 0
    aws_port: int = 0
    any_key: bool = False
    federation_ca: Path | None = None
    bling: Path | None = None
    aws: bool = True
    policy: Path | None = None


def serve(settings: Settings, ready: Callable[[], None]) -> None:
    """Serves until SIGTERM or SIGINT; calls ``ready`` once when everything answers and every file is written.

    Raises :class:`ConfigError` when the folder is in use by another local cloud, or a port is taken.
    """
    settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(settings.folder):
        uvloop.run(_Cloud(settings, ready).run())


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with open(folder / "lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "stop it, or choose another --dir"
            raise ConfigError(f"another local cloud is using {folder}", hint=hint) from None
        yield


class _Cloud:
    def __init__(self, settings: Settings, ready: Callable[[], None]) -> None:
        self._settings = settings
        self._ready = ready
        self._folder = settings.folder.absolute()

    async def run(self) -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        with ExitStack() as stack:
            await self._serve(stack, stop)

    async def _serve(self, stack: ExitStack, stop: asyncio.Event) -> None:
        identity = Identity(self._folder / "identity")
        tokens = Tokens(identity.key("token_key"))
        database = Database(self._folder / "oci.db")
        stack.callback(database.close)
        storage = ObjectStorage(database, self._folder / "contents", identity.facts)
        bling = Bling(storage, identity.facts, self._settings.bling)
        await bling.look()
        app = self._app(identity, tokens, database, storage)
        ports = Ports(self._folder)
        listener = ports.listen("oci", self._settings.port)
        endpoint = f"http://{HOST}:{listener.getsockname()[1]}"
        environment = Environment(self._folder, endpoint, identity, tokens)
        environment.write(self._start_aws(stack, ports))
        server = _Server(_uvicorn(app), self._ready)
        async with asyncio.TaskGroup() as tasks:
            serving = tasks.create_task(server.serve(sockets=[listener]))
            others = [tasks.create_task(work) for work in (bling.follow(), environment.keep_renewing())]
            await stop.wait()
            server.should_exit = True
            await serving
            for task in others:
                task.cancel()

    def _app(self, identity: Identity, tokens: Tokens, database: Database, storage: ObjectStorage) -> App:
        roots = [x509.load_pem_x509_certificate(identity.certificate("root"))]
        if self._settings.federation_ca:
            roots += _authorities(self._settings.federation_ca)
        secrets = vault.Secrets(Documents(database, "secret"), SystemClock(), region=REGION)
        routes = [
            *storage.routes(),
            *vault.routes(secrets),
            *metadata.routes(identity),
            *iam.routes(identity.facts),
            *operations.routes(Documents(database, "topic"), self._folder, REGION),
            *federation.routes(tokens, identity.facts, roots),
            *resources.routes(tokens, identity.facts),
        ]
        keys = KeyRing(identity, tokens, any_key=self._settings.any_key)
        return App(routes, keys, Faults(), self._policies(storage, secrets))

    def _policies(self, storage: ObjectStorage, secrets: vault.Secrets) -> Policies:
        file = self._settings.policy
        try:
            statements = parse_policy(file.read_text()) if file else None
        except (OSError, UnicodeDecodeError) as exc:
            raise ConfigError(f"--policy {file}: {exc}", hint="give a file with a statement on each line") from exc
        return Policies(statements, storage.exists, secrets.key_of)

    def _start_aws(self, stack: ExitStack, ports: Ports) -> dict[str, str]:
        if not self._settings.aws:
            return {}
        # moto takes more than a second to import: only for those who want it.
        from keepstep_localcloud.aws import LocalAws

        aws = LocalAws(self._folder / "aws")
        with ports.listen("aws", self._settings.aws_port) as listener:
            port = listener.getsockname()[1]
        aws.start(HOST, port)
        stack.callback(aws.stop)
        return aws.env()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    def capture_signals(self) -> nullcontext[None]:  # type: ignore[override]
        # uvicorn would raise the signal again after its end, and the process would not exit with 0.
        return nullcontext()


def _uvicorn(app: App) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
        loop="none",
        interface="asgi3",
        lifespan="off",
        proxy_headers=False,
        ws="none",
        log_level="error",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=2,
    )


def _authorities(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError) as exc:
        raise ConfigError(f"--federation-ca {file}: {exc}", hint="give a file with certificates in PEM") from exc
