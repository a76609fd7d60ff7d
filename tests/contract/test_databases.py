"""The contract of every database, tried on each of them: what databases/interface.py promises."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from keepstep.databases.engines import Engine
from keepstep.databases.errors import NotLoggedIn, OutcomeUnknown, PasswordRefused, RefusalReason, Unreachable
from keepstep.databases.interface import Answer, Database, Login, PasswordSlot, Session
from keepstep.errors import ConfigError, Conflict, Denied, Error, NotFound, Unsupported
from keepstep.secret import Secret
from tests.contract.database_backends import KINDS, REMOTE, TWO, DatabaseBackend, fresh
from tests.contract.database_backends import database_ground as database_ground
from tests.database_servers.certificates import Authority
from tests.database_servers.relay import Cut, relay

everywhere = pytest.mark.parametrize("database_ground", KINDS, indirect=True)
remote = pytest.mark.parametrize("database_ground", REMOTE, indirect=True)
two = pytest.mark.parametrize("database_ground", TWO, indirect=True)
one = pytest.mark.parametrize("database_ground", [kind for kind in KINDS if kind not in TWO], indirect=True)


async def answer(database: Database, login: Login) -> Answer:
    return (await database.probe(login)).answer


async def answers(database: Database, username: str, *passwords: Secret) -> list[Answer]:
    return [await answer(database, Login(username, password)) for password in passwords]


A, R = Answer.ACCEPT, Answer.REJECT


@everywhere
def test_a_login_is_tried(database_ground: DatabaseBackend) -> None:
    """A probe accepts the right password, rejects a wrong one, and says of nobody what it says of a wrong one."""
    login = database_ground.user()

    async def work(database: Database) -> None:
        assert await answers(database, login.username, login.password, fresh(), login.password) == [A, R, A]
        assert await answer(database, Login("nobody_at_all", login.password)) is R

    database_ground.run(work)


@everywhere
def test_a_locked_account_is_locked(database_ground: DatabaseBackend) -> None:
    """An account that lets nobody in answers LOCKED to the right password, and its administrator sees it."""
    login = database_ground.user()
    database_ground.lock(login.username)

    async def work(database: Database) -> None:
        assert await answer(database, login) is Answer.LOCKED
        async with database.session(database_ground.admin) as session:
            account = await session.account(login.username)
            assert account
            assert account.locked

    database_ground.run(work)


@remote
def test_what_the_server_stores_of_a_password(database_ground: DatabaseBackend) -> None:
    """MySQL and MariaDB show which password a user has, without a login; the others say that they do not."""
    login = database_ground.user()
    new = fresh()

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as session:
            shown = [await session.slot_of(login.username, each) for each in (login.password, new)]
            if database.engine not in (Engine.MYSQL, Engine.MARIADB):
                assert shown == [None, None]
                return
            assert shown == [PasswordSlot.NEWEST, PasswordSlot.NEITHER]
            await session.set_password(login.username, new, keep_old=session.server.keeps_two_passwords)
            old = PasswordSlot.SECOND if session.server.keeps_two_passwords else PasswordSlot.NEITHER
            assert [await session.slot_of(login.username, each) for each in (login.password, new)] == [
                old,
                PasswordSlot.NEWEST,
            ]

    database_ground.run(work)


@everywhere
def test_who_cannot_log_in_has_no_session(database_ground: DatabaseBackend) -> None:
    """A session that cannot begin says how the database answered."""
    login = database_ground.user()

    async def work(database: Database) -> None:
        with pytest.raises(NotLoggedIn) as refusal:
            async with database.session(Login(login.username, fresh())):
                pass
        assert refusal.value.answer is R
        assert refusal.value.hint

    database_ground.run(work)


@everywhere
def test_a_password_is_set(database_ground: DatabaseBackend) -> None:
    """After a change the new password logs in and the old one does not."""
    login, new = database_ground.user(), fresh()

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as session:
            await session.set_password(login.username, new)
        assert await answers(database, login.username, login.password, new) == (
            [A, A] if database.engine is Engine.ORACLE else [R, A]
        )

    database_ground.run(work)


@two
def test_the_old_password_is_kept(database_ground: DatabaseBackend) -> None:
    """``keep_old`` leaves the old password working until it is retired, which may be repeated."""
    login, new = database_ground.user(), fresh()

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as session:
            await session.set_password(login.username, new, keep_old=True)
            assert await answers(database, login.username, login.password, new) == [A, A]
            account = await session.account(login.username)
            assert account
            assert account.has_second_password
            await session.retire(login.username)
            await session.retire(login.username)
            assert await answers(database, login.username, login.password, new) == [R, A]
            account = await session.account(login.username)
            assert account
            assert not account.has_second_password

    database_ground.run(work)


@two
def test_the_newest_is_replaced(database_ground: DatabaseBackend) -> None:
    """Without ``keep_old`` the newest password gives way, the second one stays: a bad pending one is replaced."""
    login, bad, good = database_ground.user(), fresh("Bad"), fresh("Good")

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as session:
            await session.set_password(login.username, bad, keep_old=True)
            await session.set_password(login.username, good)
        assert await answers(database, login.username, login.password, bad, good) == [A, R, A]

    database_ground.run(work)


@two
def test_a_second_change_keeps_the_newest(database_ground: DatabaseBackend) -> None:
    """``keep_old`` never loses the newest password: MySQL drops the oldest, Oracle wants it retired first."""
    login, second, third = database_ground.user(), fresh("Second"), fresh("Third")

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as session:
            await session.set_password(login.username, second, keep_old=True)
            if database.engine is Engine.ORACLE:
                with pytest.raises(Conflict):
                    await session.set_password(login.username, third, keep_old=True)
                await session.retire(login.username)
            await session.set_password(login.username, third, keep_old=True)
        assert await answers(database, login.username, login.password, second, third) == [R, A, A]

    database_ground.run(work)


@one
def test_one_password_is_one(database_ground: DatabaseBackend) -> None:
    """A server that keeps one password says so, changes nothing when it is asked for two, and retires nothing."""
    login, new = database_ground.user(), fresh()

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as session:
            assert not session.server.keeps_two_passwords
            with pytest.raises(Unsupported):
                await session.set_password(login.username, new, keep_old=True)
            await session.retire(login.username)
        assert await answers(database, login.username, login.password, new) == [A, R]

    database_ground.run(work)


@everywhere
def test_a_lock_has_one_holder(database_ground: DatabaseBackend) -> None:
    """A name is locked by one session at a time, taking it again is harmless, and it is free when that one ends."""
    name = f"a lock {fresh().reveal()} with a long name {'x' * 200}"

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as first:
            async with database.session(database_ground.admin) as second:
                assert await first.lock(name)
                assert await first.lock(name)
                assert not await second.lock(name)
                assert await second.lock(name + "y")
            async with database.session(database_ground.admin) as third:
                await _taken(third, name + "y")
        async with database.session(database_ground.admin) as fourth:
            await _taken(fourth, name)

    database_ground.run(work)


async def _taken(session: Session, name: str) -> None:
    """A server notices that a client has gone a moment later."""
    async with asyncio.timeout(30):
        while not await session.lock(name):
            await asyncio.sleep(0.02)


@everywhere
def test_there_is_no_such_user(database_ground: DatabaseBackend) -> None:
    """Nobody has no account, and nobody's password cannot be changed or retired."""

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as session:
            assert await session.account("nobody_at_all") is None
            with pytest.raises(NotFound):
                await session.set_password("nobody_at_all", fresh())
            with pytest.raises(NotFound):
                await session.retire("nobody_at_all")

    database_ground.run(work)


@everywhere
def test_policy_is_no_fault_of_ours(database_ground: DatabaseBackend) -> None:
    """A password that the server's policy refuses is PasswordRefused, and nothing has changed."""
    login = database_ground.user()
    weak = database_ground.weak(login.username)

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as session:
            with pytest.raises(PasswordRefused) as refusal:
                await session.set_password(login.username, weak)
        assert refusal.value.reason is RefusalReason.POLICY
        assert await answers(database, login.username, weak, login.password) == [R, A]

    with database_ground.with_policy():
        database_ground.run(work)


@everywhere
def test_history_is_told_apart_from_policy(database_ground: DatabaseBackend) -> None:
    """A password that the user has had is refused as such by servers that remember; elsewhere it is set."""
    login, new = database_ground.user(), fresh()

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as session:
            await session.set_password(login.username, new)
            if database_ground.remembers:
                with pytest.raises(PasswordRefused) as refusal:
                    await session.set_password(login.username, login.password)
                assert refusal.value.reason is RefusalReason.REUSE
            else:
                await session.set_password(login.username, login.password)
        last = new if database_ground.remembers else login.password
        assert await answer(database, Login(login.username, last)) is A

    database_ground.run(work)


@remote
def test_a_credential_changes_itself(database_ground: DatabaseBackend) -> None:
    """Without an administrator a user may change the own password, see the own account, and touch nobody else's."""
    login, other, new = database_ground.user(), database_ground.user(), fresh()

    async def work(database: Database) -> None:
        async with database.session(login) as session:
            account = await session.account(login.username)
            assert account
            assert account.username == login.username
            with pytest.raises(Denied) as refusal:
                await session.set_password(other.username, new)
            assert "GRANT" in (refusal.value.hint or "")
            await session.set_password(login.username, new)
        assert await answer(database, Login(login.username, new)) is A
        assert await answer(database, other) is A

    database_ground.run(work)


NASTY = ("it's", 'say "hi"', "back\\slash", "per%cent", "semi;colon--", "dollar$1{}", "ünïcode")


@remote
def test_names_and_passwords_are_quoted(database_ground: DatabaseBackend) -> None:
    """Whatever stands in a password is a part of the password, and never of a statement."""
    login = database_ground.user()

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as session:
            for part in NASTY:
                new = Secret(f"{fresh('Aa1-').reveal()}{part}"[-28:])
                if database.engine is Engine.ORACLE and '"' in part:
                    with pytest.raises(Unsupported):
                        await session.set_password(login.username, new)
                    continue
                await session.set_password(login.username, new)
                assert await answer(database, Login(login.username, new)) is A

    database_ground.run(work)


@remote
def test_nobody_there(database_ground: DatabaseBackend) -> None:
    """A port that nobody listens on and a name that does not resolve are unreachable, not wrong passwords."""
    login = database_ground.user()

    async def work(database: Database) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            assert await answer(database_ground.at(port=unused.getsockname()[1]), login) is Answer.UNREACHABLE
        assert await answer(database_ground.at(host="no-such-host.invalid"), login) is Answer.UNREACHABLE

    database_ground.run(work)


@remote
def test_a_server_must_prove_itself(database_ground: DatabaseBackend, tmp_path: Path) -> None:
    """A certificate of another authority, or for another name, is a TLS error: the password is not sent."""
    login = database_ground.user()
    stranger = Authority("somebody else").write(tmp_path / "stranger.pem")

    async def work(database: Database) -> None:
        assert await answer(database_ground.at(ca=str(stranger)), login) is Answer.TLS_ERROR
        assert await answer(database_ground.at(ca=None), login) is Answer.TLS_ERROR
        assert await answer(database_ground.at(host="127.0.0.1"), login) is Answer.TLS_ERROR
        with pytest.raises(NotLoggedIn) as refusal:
            async with database_ground.at(ca=str(stranger)).session(login):
                pass
        assert "ca" in (refusal.value.hint or "")

    database_ground.run(work)


@remote
def test_a_connection_that_is_cut_leaves_the_outcome_open(database_ground: DatabaseBackend) -> None:
    """Cut before or after the server heard of a change, the outcome is unknown, and a probe tells."""
    with relay(database_ground.endpoint.port) as (wire, port):

        async def work(database: Database, cut: Cut) -> list[Answer]:
            login, new = database_ground.user(), fresh()
            wire.cut = Cut.NEVER
            async with database_ground.at(port=port).session(database_ground.admin) as session:
                if database.engine in (Engine.MYSQL, Engine.MARIADB):
                    await session.account(login.username)
                wire.cut = cut
                with pytest.raises(OutcomeUnknown if database.engine is Engine.POSTGRES else Error):
                    await session.set_password(login.username, new)
                with pytest.raises((Unreachable, OutcomeUnknown)):
                    await session.account(login.username)
            return await answers(database, login.username, new)

        assert database_ground.run(lambda database: work(database, Cut.BEFORE)) == [R]
        database_ground.run(lambda database: work(database, Cut.AFTER))


@remote
def test_silence_ends(database_ground: DatabaseBackend) -> None:
    """Whoever takes connections and statements and does not answer is unreachable, within the patience given."""
    with relay(database_ground.endpoint.port) as (wire, port):

        async def work(database: Database) -> None:
            patient = database_ground.at(port=port, patience=1.0)
            async with patient.session(database_ground.admin) as session:
                wire.cut = Cut.SILENCE
                with pytest.raises(Unreachable):
                    await session.account("anybody")
            assert await answer(patient, database_ground.admin) is Answer.UNREACHABLE

        database_ground.run(work)


@remote
def test_a_configuration_that_cannot_work(database_ground: DatabaseBackend) -> None:
    """A CA file that is not there is the user's to fix: ConfigError, not an answer."""
    login = database_ground.user()

    async def work(database: Database) -> None:
        with pytest.raises(ConfigError):
            await database_ground.at(ca="/no/such/file.pem").probe(login)

    database_ground.run(work)


@everywhere
def test_failed_logins_lock(database_ground: DatabaseBackend) -> None:
    """Where failed logins in a row lock an account, the database says how many, and that it is locked then."""
    login = database_ground.user()

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as session:
            account = await session.account(login.username)
        assert account
        allowed = account.failures_allowed
        assert (allowed == 3) is database_ground.locks_out
        for _ in range((allowed or 5) - 1):
            assert await answer(database, Login(login.username, fresh())) is R
        # MySQL answers the last of them as it does every one after it.
        assert await answer(database, Login(login.username, fresh())) in (R, Answer.LOCKED)
        assert await answer(database, login) is (Answer.LOCKED if database_ground.locks_out else A)

    database_ground.run(work)


@everywhere
def test_what_is_shown_holds_no_secret(database_ground: DatabaseBackend) -> None:
    """Names, answers and remedies hold neither password."""
    login, new = database_ground.user(), fresh()

    async def work(database: Database) -> None:
        probe = await database.probe(Login(login.username, new))
        text = f"{database.name} {probe} {probe.why} {database.remedy(login.username)} {login!r}"
        assert login.password.reveal() not in text
        assert new.reveal() not in text
        assert login.username in database.remedy(login.username) or login.username.upper() in text
        assert database.name_limit >= 32

    database_ground.run(work)


@everywhere
def test_a_preflight_changes_nothing(database_ground: DatabaseBackend) -> None:
    """It finds nothing for a user that can be changed, names one that is missing or locked, and has a policy."""
    login, locked = database_ground.user(), database_ground.user()
    database_ground.lock(locked.username)

    async def work(database: Database) -> None:
        async with database.session(database_ground.admin) as session:
            two = session.server.keeps_two_passwords
            assert [
                found for found in await session.preflight(login.username, keep_old=two) if found.is_blocking
            ] == []
            for name in ("nobody_at_all", locked.username):
                (found,) = [each for each in await session.preflight(name) if each.is_blocking]
                assert name.lower() in found.what.lower()
                assert found.fix or database_ground.kind == "memory"
            policy = await session.policy(login.username)
            assert policy.shortest <= (policy.longest or policy.shortest)
        assert await answer(database, login) is A

    database_ground.run(work)
