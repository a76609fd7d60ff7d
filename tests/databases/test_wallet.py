"""Wallets: read in memory from what ADB hands out, used by the real driver, and never left behind."""

from __future__ import annotations

import base64
import io
import ssl
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    pkcs12,
)

from keepstep.cli.running import run
from keepstep.databases.interface import Answer, Login
from keepstep.databases.oracle import OracleDatabase
from keepstep.databases.wallet import read_wallet
from keepstep.errors import ConfigError
from keepstep.secret import Secret
from tests.database_servers.certificates import Authority, Identity
from tests.database_servers.oracle import SERVICE, OracleServer, oracle

PASSWORD = Secret("wallet-Passw0rd")
TNSNAMES = """
# of an Autonomous Database
app_high = (description= (retry_count=20)(retry_delay=3)
  (address=(protocol=tcps)(port={port})(host=localhost))
  (connect_data=(service_name={service}))(security=(ssl_server_dn_match=yes)))

app_low, APP_TP = (description=(address=(protocol=tcps)(port={port})(host=localhost))
  (connect_data=(service_name=x)))
"""


def pem_of(identity: Identity, authority: Authority, password: Secret | None = PASSWORD) -> bytes:
    """ewallet.pem: the key, encrypted, and all certificates."""
    key = identity.key_pem
    if password:
        encryption = BestAvailableEncryption(password.reveal_bytes())
        key = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return key + identity.certificate_pem + authority.identity.certificate_pem


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def mutual(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OracleServer]:
    """A server that lets in only who has a certificate."""
    with oracle(tmp_path_factory.mktemp("mutual"), authority, mutual=True) as server:
        server.add_user("app", "First-App.pass-1")
        yield server


def probe(wallet_content: bytes, server: OracleServer, dsn: str = "app_high") -> Answer:
    wallet = read_wallet(wallet_content, PASSWORD)
    plain = f"localhost:{server.endpoint.port}/{SERVICE}"
    database = OracleDatabase(wallet.names.get(dsn, plain), wallet.trust())
    return run(_answer(database))


async def _answer(database: OracleDatabase) -> Answer:
    return (await database.probe(Login("app", Secret("First-App.pass-1")))).answer


def forms(authority: Authority, port: int) -> dict[str, bytes]:
    """The same wallet in every form that is taken."""
    identity = authority.issue("a client")
    pem = pem_of(identity, authority)
    names = TNSNAMES.format(port=port, service=SERVICE).encode()
    encryption = BestAvailableEncryption(PASSWORD.reveal_bytes())
    p12 = pkcs12.serialize_key_and_certificates(
        b"orakey", identity.key, identity.certificate, [authority.identity.certificate], encryption
    )
    return {
        "zip with pem": zipped(ewallet_pem=pem, tnsnames_ora=names, cwallet_sso=b"\xa1\xf8", README=b"read me"),
        "zip with p12": zipped(ewallet_p12=p12, tnsnames_ora=names),
        "pem": pem,
        "pem without a password": pem_of(identity, authority, None),
        "zip in base64": base64.encodebytes(zipped(ewallet_pem=pem, tnsnames_ora=names)),
    }


FORMS = list(forms(Authority(), 1))


@pytest.mark.parametrize("form", FORMS)
def test_a_wallet_opens_the_door(form: str, mutual: OracleServer, authority: Authority) -> None:
    """Every form of a wallet lets the real driver in where a client's certificate is asked for."""
    assert probe(forms(authority, mutual.endpoint.port)[form], mutual) is Answer.ACCEPT


def test_without_it_the_door_is_closed(mutual: OracleServer, authority: Authority) -> None:
    """A wallet of authorities alone does not let in where a certificate is asked for; that is no wrong password."""
    answer = probe(authority.identity.certificate_pem, mutual)
    assert answer in (Answer.TLS_ERROR, Answer.UNREACHABLE)


def test_a_wrong_wallet_is_told(oracle_server: OracleServer) -> None:
    """F21: a wallet of another database trusts another authority: a TLS error, and nothing was sent."""
    stranger = Authority("another database")
    content = pem_of(stranger.issue("a client"), stranger)
    assert probe(content, oracle_server) is Answer.TLS_ERROR


def test_a_wallet_knows_names_and_its_end() -> None:
    """Services are found by their names in tnsnames.ora, in any case, and doctor can tell when it expires."""
    authority = Authority()
    wallet = read_wallet(forms(authority, 1522)["zip with pem"], PASSWORD)
    assert set(wallet.names) == {"app_high", "app_low", "app_tp"}
    assert f"(service_name={SERVICE})" in wallet.names["app_high"]
    assert wallet.names["app_high"].endswith("(security=(ssl_server_dn_match=yes)))")
    assert wallet.names["app_low"] == wallet.names["app_tp"]
    assert wallet.expires == authority.identity.certificate.not_valid_after_utc


@pytest.mark.parametrize(
    "content",
    [b"", b"no wallet", b"PK\x03\x04 torn", zipped(cwallet_sso=b"x"), zipped(ewallet_pem=b"no PEM"), b"QUJD"],
)
def test_what_is_no_wallet_is_named(content: bytes) -> None:
    """Anything else is a ConfigError with a hint, whatever it is."""
    with pytest.raises(ConfigError) as refusal:
        read_wallet(content, PASSWORD)
    assert refusal.value.hint


@pytest.mark.parametrize("form", ["pem", "zip with pem", "zip with p12"])
@pytest.mark.parametrize("password", [None, Secret("wrong")])
def test_a_wrong_password_is_the_wallet_s(form: str, password: Secret | None) -> None:
    """A wallet that cannot be opened says that its password is wrong, and never asks the terminal."""
    with pytest.raises(ConfigError) as refusal:
        read_wallet(forms(Authority(), 1)[form], password).trust()
    assert "password" in (refusal.value.hint or "")


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a wallet makes no file anywhere that a temporary file would be, and leaves no descriptor open."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    before = set(_descriptors())
    context = read_wallet(forms(Authority(), 1)["zip with pem"], PASSWORD).trust()
    assert isinstance(context, ssl.SSLContext)
    assert [path for path in tmp_path.iterdir() if path.name != "home"] == []
    assert [target for target in _descriptors() if "wallet" in target] == []
    assert len(set(_descriptors()) - before) == 0
    assert "PRIVATE" not in repr(read_wallet(forms(Authority(), 1)["pem"], PASSWORD))


def _descriptors() -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(str(link.readlink()))
        except OSError:
            continue
    return found
