"""A mail server that wants STARTTLS and a password, and a webhook; both keep what they are told."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from tests.servers import free_port

USER, PASSWORD = "ops", "pa55-phrase-of-the-mailer"


@dataclass
class Mailbox:
    """What has come, and what the server is to answer."""

    port: int = 0
    subjects: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list)
    """Their text parts."""
    pages: list[str] = field(default_factory=list)
    """Their HTML parts, empty where there is none."""
    answer: str = "250 OK"

    def url(self, password: str = PASSWORD) -> str:
        sender = "from=keepstep@example.com&to=ops@example.com"
        return f"mailtos://{USER}:{password}@localhost:{self.port}?{sender}&mode=starttls&format=text"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer.startswith("250"):
            mail = message_from_bytes(envelope.content, policy=policy.default)
            body = mail.get_body(("plain",))
            self.subjects.append(str(mail["Subject"]))
            self.bodies.append(str(body.get_content()) if body else "")
            page = mail.get_body(("html",))
            self.pages.append(str(page.get_content()) if page else "")
        return self.answer


def certificate(folder: Path) -> Path:
    """A key and its certificate for localhost, in one file, which is its own authority."""
    path = folder / "localhost.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    places = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names, *places],
        check=True,
        capture_output=True,
    )
    path.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return path


@contextlib.contextmanager
def mail_server(folder: Path) -> Iterator[Mailbox]:
    """Refuses everything before STARTTLS and AUTH, and every other password."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(folder))
    box = Mailbox(free_port())

    def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        is_known = isinstance(data, LoginPassword) and (data.login, data.password) == (
            USER.encode(),
            PASSWORD.encode(),
        )
        return AuthResult(success=is_known, handled=False)

    controller = Controller(
        box,
        hostname="localhost",
        port=box.port,
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=authenticate,
    )
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


@dataclass
class Hook:
    """A web address that takes messages, or refuses them."""

    url: str = ""
    bodies: list[str] = field(default_factory=list)
    status: int = 200


@contextlib.contextmanager
def webhook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            if hook.status == 200:
                hook.bodies.append(body)
            self.send_response(hook.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"json://127.0.0.1:{server.server_port}/hook?token=t0ken-of-the-hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
