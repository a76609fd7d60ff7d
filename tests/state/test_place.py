"""The state's address: parsed once, shown without secrets, opened to read or to write, and where the locks are."""

from __future__ import annotations

import multiprocessing
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.errors import ConfigError, Error, Locked, NotFound
from keepstep.monitoring.alerting import Alerting
from keepstep.runs.history import History
from keepstep.state.place import default_place, parse_place, place_of
from keepstep.state.schema import STEPS, VERSION
from tests.runs.test_history import NOW, a_run

SECRET = "hunter2"

MISTAKES = [
    "postgre://u:hunter2@h/d",
    "postgresql:/u:hunter2@h/d",
    "u:hunter2@h/d",
    "host=h password=hunter2",
    "postgresql://u:hunter2%Se@h/d",
    "postgresql://u:hunter2@x@h/d",
    "postgresql://u:hunter2/x@h/d",
    "postgresql://u:hunter2#x@h/d",
    "postgresql://u:hunter2?x@h/d",
    "postgresql://u:hunter2 x@h/d",
    "postgresql://u:12/hunter2@h/d",
    "postgresql://u:x@h:hunter2/d",
    "postgresql://[hunter2/d",
    "mysql://u:hunter2@h/d",
    "sqlite://hunter2",
    "sqlite:///",
    "sqlite:///:memory:",
    "",
]


@pytest.mark.parametrize("url", MISTAKES)
def test_a_mistake_is_explained_and_nothing_is_quoted(url: str) -> None:
    """The message says what is wrong and how an address is written, and has no piece of this one."""
    with pytest.raises(ConfigError) as caught:
        place_of(url)
    assert SECRET not in f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert "sqlite:////path/state.db" in (caught.value.hint or "")


@given(st.text(alphabet="abc:/@%#?[]=&.,2 \n", max_size=30).map(lambda text: f"postgresql://u:{SECRET}{text}"))
def test_no_address_ever_shows_its_password(url: str) -> None:
    """Whatever stands around it; what is accepted shows host and database alone."""
    try:
        shown = str(parse_place(url))
    except ValueError as exc:
        shown = str(exc)
    # Where there is no @, what looks like a password is a host that the user wrote.
    assert SECRET not in shown or "@" not in url


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p%40ss@h:5432/d?sslmode=verify-full&password=x", "postgresql://h:5432/d"),
        ("postgres://u:p@h1:1,[::1]:2/d", "postgresql://h1:1,[::1]:2/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql:///d"),
        ("sqlite:////a/../b/state.db", "sqlite:////b/state.db"),
    ],
)
def test_an_address_is_shown_without_user_password_and_options(url: str, shown: str) -> None:
    """As logs, status and doctor have it."""
    place = parse_place(url)
    assert (str(place), place.shown) == (shown, shown)
    assert "p@ss" not in repr(place) and "p%40ss" not in repr(place)


def test_an_unknown_option_is_named_without_the_address() -> None:
    """The client library quotes what it does not understand; keepstep does not."""
    with pytest.raises(ConfigError) as caught:
        parse_place("postgresql://u:hunter2@h/d?nonsense=hunter2").check_driver()
    assert SECRET not in str(caught.value)


# looking


def test_looking_at_a_file_makes_nothing(tmp_path: Path) -> None:
    """Neither the file, nor a log or an index beside it, while nobody has it open."""
    place = place_of(f"sqlite:///{tmp_path}/state/state.db")
    with pytest.raises(NotFound):
        place.look()
    assert not (tmp_path / "state").exists()
    writer = History(place.open())
    run = a_run()
    writer.begin(run)
    writer.database.close()
    before = sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "state").iterdir())
    reader = History(place.look())
    assert reader.get(run.id) == run
    reader.database.close()
    assert sorted((path.name, path.stat().st_mtime_ns) for path in (tmp_path / "state").iterdir()) == before


def test_who_looks_sees_what_is_written_meanwhile(tmp_path: Path) -> None:
    """A reader that stays open follows writers that come and go."""
    place = place_of(f"sqlite:///{tmp_path}/state.db")
    place.open().close()
    reader = History(place.look())
    for _ in range(3):
        writer, run = History(place.open()), a_run()
        writer.begin(run)
        assert reader.get(run.id) == run
        writer.database.close()
        assert reader.get(run.id) == run
    with pytest.raises(Error):
        reader.begin(a_run())


def test_who_looks_takes_no_writers_locks(tmp_path: Path) -> None:
    """A process that writes and looks keeps the locks on its file: another process cannot take its log away."""
    place = place_of(f"sqlite:///{tmp_path}/state.db")
    writer, run = History(place.open()), a_run()
    writer.begin(run)
    place.look().close()
    place.open().close()
    code = (
        "import sys; from keepstep.state.place import place_of\n"
        "place_of(sys.argv[1]).open().close(); place_of(sys.argv[1]).look().close()"
    )
    subprocess.run([sys.executable, "-c", code, place.shown], check=True)
    again = a_run()
    writer.begin(again)
    code = (
        "import sys; from keepstep.state.place import place_of; from keepstep.runs.history import History\n"
        "print([run.id for run in History(place_of(sys.argv[1]).look()).open()])"
    )
    seen = subprocess.run([sys.executable, "-c", code, place.shown], check=True, capture_output=True, text=True)
    assert run.id in seen.stdout and again.id in seen.stdout
    writer.database.close()


def test_a_state_of_an_earlier_version_is_read_and_brought_up_to_date(state_url: str) -> None:
    """Who looks changes nothing; who writes takes the steps that are missing, and frees a job that was blocked."""
    place = place_of(state_url)
    database = place.open()

    def make_old(query: object) -> None:
        assert callable(query)
        for name in ("run", "line", "job", "total", "alert", "message", "daemon", "keepstep_schema"):
            query(f"DROP TABLE {name}")
        for statement in STEPS[0]:
            query(statement)
        query(
            "INSERT INTO run VALUES ('1', 'j', 'sync', 'h', 'schedule', 1, 1, 1, 1, 2, 'running', 0,"
            " NULL, NULL, 0, 0, '{}', '{}', NULL)"
        )

    database.write(make_old)
    database.close()
    reader = place.look()
    assert [run.id for run in History(reader).open()] == ["1"]
    assert Alerting(reader, {}, NOW - NOW).active() == {}
    assert reader.read(lambda query: query("SELECT version FROM keepstep_schema")) == [(1,)]
    reader.close()
    writer = History(place.open())
    assert writer.open() == []
    assert writer.database.read(lambda query: query("SELECT version FROM keepstep_schema")) == [(VERSION,)]
    writer.database.close()


@pytest.fixture
def role(shared_url: str) -> str:
    """The address of the same PostgreSQL for a user without any right."""
    with psycopg.connect(shared_url, autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = 'viewer'").fetchone():
            connection.execute("CREATE ROLE viewer LOGIN PASSWORD 'v1ewer'")
        connection.execute("REVOKE CREATE ON DATABASE postgres FROM PUBLIC, viewer")
    _, _, rest = shared_url.partition("@")
    return f"postgresql://viewer:v1ewer@{rest}"


def _do(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def test_looking_into_an_empty_postgresql_makes_nothing(shared_url: str) -> None:
    """No schema, for an administrator either."""
    with pytest.raises(NotFound):
        place_of(shared_url).look()
    with psycopg.connect(shared_url) as connection:
        assert connection.execute("SELECT to_regnamespace('keepstep')").fetchone() == (None,)


def test_the_right_to_read_is_enough_to_look(shared_url: str, role: str) -> None:
    """Without it the statement that grants it is told; with it everything is seen, and nothing can be written."""
    writer, run = History(place_of(shared_url).open()), a_run()
    writer.begin(run)
    with pytest.raises(ConfigError) as caught:
        place_of(role).look()
    assert "GRANT USAGE ON SCHEMA keepstep" in (caught.value.hint or "")
    assert "v1ewer" not in f"{caught.value} {caught.value.hint}"
    _do(shared_url, *(caught.value.hint or "").split("; "))
    reader = History(place_of(role).look())
    assert reader.get(run.id) == run
    with pytest.raises(ConfigError):
        reader.begin(a_run())
    reader.database.close()
    writer.database.close()


def test_who_writes_needs_no_right_to_create_what_is_there(shared_url: str, role: str) -> None:
    """A schema that an administrator made, with or without tables, is enough."""
    _do(shared_url, "CREATE SCHEMA keepstep AUTHORIZATION viewer")
    for _ in range(2):
        database = place_of(role).open()
        History(database).begin(a_run())
        database.close()


# locks


@pytest.mark.parametrize(("one", "other"), [("ä", "ö"), ("a.b", "a_b"), ("a", "A"), ("a/b", "a b"), ("", "\udc80")])
def test_each_whole_name_has_its_own_lock(state_url: str, one: str, other: str) -> None:
    """Names that look alike to a file system do not share a lock; a name is locked once."""
    place = place_of(state_url)
    place.open().close()
    if "\udc80" in other and not place.path:
        pytest.skip("PostgreSQL takes no lone surrogate, and keepstep.toml has none")
    with place.lock(one):
        with place.lock(other):
            assert not place.is_free(one) and not place.is_free(other)
        assert not place.is_free(one) and place.is_free(other)
        with pytest.raises(Locked), place.lock(one):
            pass
    deadline = time.monotonic() + 30
    while not place.is_free(one):  # a session of PostgreSQL ends soon after its connection
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_lock_has_no_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same user with and without XDG_RUNTIME_DIR, HOME and TMPDIR finds the same lock."""
    place = place_of(f"sqlite:///{tmp_path}/state/state.db")
    place.open().close()
    with place.lock("j"):
        for name in ("XDG_RUNTIME_DIR", "HOME", "TMPDIR", "XDG_STATE_HOME"):
            monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
            with pytest.raises(Locked), place.lock("j"):
                pass


def _try_as(user: int, url: str, job: str, answers: multiprocessing.SimpleQueue[str]) -> None:
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    try:
        place = place_of(url)
        place.open().close()
        with place.lock(job):
            answers.put("taken")
    except Error as error:
        answers.put(type(error).__name__)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
@pytest.mark.parametrize("first", ["root", "owner"])
def test_a_lock_is_between_users(tmp_path: Path, first: str) -> None:
    """Root by hand and the state's owner lock one another out, whoever made the files; and the owner can go on."""
    for path in (tmp_path, *tmp_path.parents[:-2]):
        path.chmod(0o755)
    folder, owner = tmp_path / "state", 65534
    folder.mkdir(mode=0o700)
    os.chown(folder, owner, owner)
    url = f"sqlite:///{folder}/state.db"
    answers: multiprocessing.SimpleQueue[str] = multiprocessing.SimpleQueue()

    def owners_try() -> str:
        process = multiprocessing.get_context("fork").Process(target=_try_as, args=(owner, url, "j", answers))
        process.start()
        process.join()
        return answers.get()

    if first == "owner":
        assert owners_try() == "taken"
    place = place_of(url)
    place.open().close()
    with place.lock("j"):
        assert owners_try() == "Locked"
    assert owners_try() == "taken"
    found = [path.stat() for path in folder.iterdir()]
    assert {(each.st_uid, stat.S_IMODE(each.st_mode)) for each in found} == {(owner, 0o600)}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_a_file_that_somebody_put_there_is_refused(tmp_path: Path) -> None:
    """In a folder that others can write, a state or lock of another user is named, not used."""
    for name in ("state.db", "state.db.lock"):
        (tmp_path / name).touch()
        os.chown(tmp_path / name, 65534, 65534)
    place = place_of(f"sqlite:///{tmp_path}/state.db")
    with pytest.raises(ConfigError, match="belongs to another user"):
        place.open()
    with pytest.raises(ConfigError, match="belongs to another user"), place.lock("j"):
        pass


def test_a_killed_holder_frees_its_lock(state_url: str) -> None:
    """However a run ends, its lock ends with it."""
    place_of(state_url).open().close()
    code = (
        "import sys, time; from keepstep.state.place import place_of\n"
        "with place_of(sys.argv[1]).lock('j'): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, state_url], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        assert not place_of(state_url).is_free("j")
        holder.kill()
        holder.wait()
    while not place_of(state_url).is_free("j"):
        pass
    with place_of(state_url).lock("j"):
        pass


def test_without_a_configured_state_it_is_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the machine's cannot be written; never in a folder that others can take, such as /tmp."""
    monkeypatch.setattr("keepstep.state.place.DEFAULT", f"sqlite:///{tmp_path}/none/state.db")
    assert default_place().path == tmp_path / "none/state.db"
    monkeypatch.setattr("keepstep.state.place.DEFAULT", "sqlite:////dev/null/none/state.db")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert default_place().path == tmp_path / ".local/state/keepstep/state.db"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert default_place().path == tmp_path / "xdg/keepstep/state.db"
