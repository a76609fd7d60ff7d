"""``keepstep.toml``: read, completed from the environment, and checked before anything runs.

Every mistake is reported with the key it was made in, all of them at once; an unknown key with the nearest known
one. The models below are the format's only definition: ``keepstep config schema`` prints them as JSON Schema.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Collection, Iterator
from datetime import UTC, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    SecretStr,
    ValidationError,
    WithJsonSchema,
)

from keepstep import units as durations
from keepstep.databases.engines import Engine
from keepstep.errors import ConfigError
from keepstep.monitoring.channels import Channel, named
from keepstep.monitoring.listen import Listen
from keepstep.monitoring.oci_topic import is_topic
from keepstep.schedules.schedule import parse_schedule, zone_of
from keepstep.secret import Secret
from keepstep.secrets.settings import Notify, SecretFile, SecretSet, SetFile
from keepstep.state.place import DEFAULT, StatePlace, default_place, parse_place
from keepstep.text import shown
from keepstep.trust import exposure, trusted

_FORMAT = "see https://toml.io for the format"
DEFAULT_PATHS = (Path("keepstep.toml"), Path("/etc/keepstep/keepstep.toml"))

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def parse_duration(value: Any) -> Any:
    """``90s``, ``5m``, ``1h30m``, ``7d``, or a number of seconds, as a duration. Raises ``ValueError``."""
    if isinstance(value, str):
        return durations.parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return durations.bounded(value)
    return value


def _schedule(value: Any) -> Any:
    """Checks a schedule; it stays the text it is."""
    if isinstance(value, str):
        parse_schedule(value, UTC)
    return value


def _size(value: Any) -> Any:
    """``512MiB``, ``2GiB``, or bytes."""
    return durations.parse_size(value) if isinstance(value, str) else value


def _listen(value: Any) -> Any:
    """Checks an address to listen at; it stays the text it is."""
    if isinstance(value, str):
        Listen.parse(value)
    return value


def _job_name(name: str) -> str:
    """A name is shown everywhere, and is a part of paths and command lines."""
    if not name or len(name) > 100 or name != name.strip() or shown(name) != name or name.startswith("-"):
        raise ValueError("a job's name has 1 to 100 characters that can be seen, and does not begin with -")
    return name


def _zone(value: Any) -> Any:
    if isinstance(value, str):
        zone_of(value)
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    Field(json_schema_extra={"type": "string", "examples": ["5m", "30h"]}),
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=False)


def _place(value: Any) -> StatePlace:
    if not isinstance(value, str):
        raise ValueError("it is a text: sqlite:////path/state.db or postgresql://…")
    return parse_place(value)


class State(_Model):
    """Where run history, schedules and locks are kept."""

    url: Annotated[
        StatePlace,
        PlainValidator(_place),
        PlainSerializer(str),
        WithJsonSchema({"type": "string", "examples": [DEFAULT, "postgresql://user:password@host/database"]}),
    ] = Field(default_factory=default_place)
    """``sqlite:///path`` or ``postgresql://…``."""

    @property
    def place(self) -> StatePlace:
        return self.url


class Daemon(_Model):
    """How ``keepstep run`` behaves."""

    drain: Duration = timedelta(seconds=30)
    """After SIGTERM, runs that are under way get this long before they are asked to stop."""
    max_runs: int | None = Field(default=None, ge=1)
    """So many runs at a time; without it, as many as are due."""


def _metric_namespace(value: Any) -> Any:
    """Raises ``ValueError`` for one that OCI Monitoring refuses; the prefixes are Oracle's own."""
    if not re.fullmatch(r"(?!oci_|oracle_)[a-z][a-z0-9_]*[a-z0-9]", str(value)):
        raise ValueError("a namespace has a-z, 0-9 and _, and does not begin with oci_ or oracle_")
    return value


OciAuth = Literal["api_key", "instance_principal", "resource_principal", "security_token", "oke_workload_identity"]


class OciMetrics(_Model):
    """The metric ``success`` of OCI Monitoring, for an alarm on its absence."""

    compartment: str
    """OCID of the compartment that the metric and its alarms are in."""
    namespace: Annotated[str, BeforeValidator(_metric_namespace)] = "keepstep"
    region: str | None = None
    """Where it is posted to; the identity's own region if not given."""
    auth: OciAuth | None = None
    """Who posts it, if not ``[identity.oci]``."""


class Metrics(_Model):
    """What monitoring reads. The daemon serves /metrics where the status page is."""

    oci: OciMetrics | None = None
    """Posted after every run of a job that succeeded."""

    textfile: str | None = None
    """Written after every run of a job: a file for the textfile collector of Prometheus's node_exporter."""


class Dashboard(_Model):
    """The status page."""

    listen: Annotated[str, BeforeValidator(_listen)] = "127.0.0.1:8731"
    token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Asked of whoever looks; where ``listen`` is no loopback address nobody gets in without one."""
    spend: list[str] | None = None
    """Addresses of FOCUS reports; if not given, the targets of jobs that fetch OCI's."""


class OciIdentityConfig(_Model):
    """Who we are in OCI."""

    auth: OciAuth | None = None
    profile: str | None = None
    config_file: str | None = None


class AwsIdentityConfig(_Model):
    """Who we are on AWS: botocore's chain, then the roles, each assumed with the one before."""

    profile: str | None = None
    region: str | None = None
    role_arn: Annotated[list[str], BeforeValidator(lambda v: [v] if isinstance(v, str) else v)] = Field(
        default_factory=list
    )
    endpoint_url: str | None = None
    ca_bundle: str | None = None


class Identities(_Model):
    """One identity for each cloud."""

    oci: OciIdentityConfig = OciIdentityConfig()
    aws: AwsIdentityConfig = AwsIdentityConfig()


class AlertChannel(_Model):
    """One address that alerts are sent to."""

    name: Annotated[str | None, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")] = None
    """What logs, status and metrics call it; if not given, its kind and number."""
    url: SecretStr
    """As Apprise writes it. It is shown nowhere."""


class Alerts(_Model):
    """Where alerts are sent to, as Apprise writes addresses."""

    urls: list[Annotated[AlertChannel, BeforeValidator(lambda v: {"url": v} if isinstance(v, str) else v)]] = Field(
        default_factory=list
    )
    """Addresses, or tables of ``name`` and ``url``."""
    repeat: Duration = timedelta(hours=6)
    """An alert that stays is repeated after this long, then after twice as long, up to once a week."""
    pending_after: Duration = timedelta(hours=2)
    """A rotation that is pending for longer is stuck."""

    @property
    def channels(self) -> list[Channel]:
        return named([(each.name, Secret(each.url.get_secret_value())) for each in self.urls])


class _Job(_Model):
    schedule: Annotated[str | None, BeforeValidator(_schedule)] = None
    """A cron expression, or ``@hourly``, ``@every 5m``; without it the job runs when it is called."""
    timezone: Annotated[str | None, BeforeValidator(_zone)] = None
    """Of the cron expression, such as Europe/Berlin; the machine's own if not given."""
    jitter: Duration | None = None
    """Starts at a random moment up to this long after its time."""
    deadline: Duration | None = None
    """A run that takes longer is stopped."""
    missed: Literal["once", "skip"] = "once"
    """What becomes of times at which no daemon ran: made up for, all of them by one run, or not at all."""
    startup: bool = False
    """Runs also when the daemon starts."""
    memory: Annotated[int | None, Field(ge=2**20, le=durations.LARGEST), BeforeValidator(_size)] = None
    """A run may not have more memory than this, such as 1GiB."""
    success_within: Duration | None = None
    """Alert when no run has succeeded for this long; if not given, after three of its times and an hour."""
    identity: Identities | None = None
    """Instead of the file's own identities."""


class SyncJob(_Job):
    """Brings a target folder in step with a source folder."""

    kind: Literal["sync"]
    source: str
    target: str
    params: str = ""
    """Options of ``keepstep sync``, split as a shell would."""
    stale_after: Duration | None = None
    """Alert when no new object has arrived for this long."""


class SecretsJob(_Job):
    """Lays secrets into files, and tells the containers that use them."""

    kind: Literal["secrets"]
    map: str | None = None
    """Path of a map.csv."""
    file: list[SecretFile] = Field(default_factory=list)
    """What a line of the map cannot say: owners, templates, several places."""
    set: list[SecretSet] = Field(default_factory=list)
    """Files that are switched together."""
    max_stale: Duration | None = None
    """While a vault is away a file may be this old before the run fails."""
    fingerprint_key: str | None = None
    """Address of the secret that fingerprints of ``secrets drift`` are made with; hosts that share it compare."""


class ConnectionBlob(_Model):
    """Secrets with ready-made connection strings, one for each cloud."""

    aws: str | None = None
    oci: str | None = None


class Audit(_Model):
    """Where rotations are recorded, and the key that signs the record."""

    log: str
    """``s3://…`` or ``oci://…``: entries are put beneath it, in a folder with the job's name."""
    key: str
    """Address of the secret whose newest version signs."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """What the log is called, if not as the job: ``rotation`` goes on with the one of a run by variables."""
    anchor: str | None = None
    """A bucket in the other cloud that holds each entry's hash, so that the log cannot lose its end unseen."""


class Database(_Model):
    """One database whose credential is rotated."""

    engine: Annotated[Engine, WithJsonSchema({"type": "string", "enum": [each.value for each in Engine]})]
    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    name: str | None = None
    dsn: str | None = None
    """Oracle: a connect descriptor, ``host:port/service``, or a name in the wallet."""
    admin: str | None = None
    """Secret with an administrator's username and password; without it the credential changes itself."""
    ca: str | None = None
    """PEM file with the only authorities that are trusted."""
    wallet: str | None = None
    """Oracle: a wallet as a file, a secret or an object; zip or PEM."""


class RotateJob(_Job):
    """Rotates one credential in two clouds and any number of databases."""

    kind: Literal["rotate"]
    interval: Duration = timedelta(hours=24)
    """A credential that is older is due."""
    grace: Duration = timedelta(hours=1)
    """Before an old password is retired, where two may log in."""
    strategy: Literal["alternating", "dual", "rollover", "single"] | None = None
    """How clients go on while passwords change; single if not given."""
    aws_secret: str | None = None
    oci_secret: str | None = None
    username: str | None = None
    """Refuses secrets that are of another user."""
    connection_blob: ConnectionBlob | None = None
    audit: Audit | None = None
    database: list[Database] = Field(default_factory=list)


Job = Annotated[SyncJob | SecretsJob | RotateJob, Field(discriminator="kind")]


class Config(_Model):
    """The whole file."""

    state: State = State()
    daemon: Daemon = Daemon()
    metrics: Metrics = Metrics()
    dashboard: Dashboard = Dashboard()
    identity: Identities = Identities()
    alerts: Alerts = Alerts()
    job: dict[Annotated[str, AfterValidator(_job_name)], Job] = Field(default_factory=dict)
    _exposure: str = PrivateAttr(default="")

    @property
    def exposure(self) -> str:
        """What is wrong when others can read the secrets in the file, and what to do; else empty."""
        return self._exposure


def find(given: str | None) -> Path | None:
    """The file that was asked for, or the first default that exists. Raises :class:`ConfigError`.

    One that was only found is obeyed when nobody else could have put it there.
    """
    if given is not None:
        return Path(given)
    found = next((path for path in DEFAULT_PATHS if os.path.isfile(path)), None)
    return found and trusted(found, hint=f"name it, if you trust it: --config {found}")


def load(path: Path) -> Config:
    """Reads and checks a file. Raises :class:`ConfigError` that names every mistake, by line or key."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}", hint="name it with --config") from None
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}", hint="name a file that can be read") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is not TOML: {_toml_mistake(exc)}", hint=_FORMAT) from None
    except (ValueError, RecursionError, OverflowError):
        raise ConfigError(f"{path}: a number is too long, or tables are nested too deeply", hint=_FORMAT) from None
    mistakes: list[str] = []
    completed = _completed(document, (), mistakes)
    try:
        config = Config.model_validate(completed)
    except ValidationError as exc:
        mistakes += [_explain(error) for error in exc.errors(include_url=False, include_input=False)]
    if mistakes:
        raise ConfigError(f"{path}: " + "; ".join(mistakes), hint="keepstep config schema prints what is known")
    config._exposure = exposure(path, "the secrets in") if _holds_secrets(document) else ""
    return config


def _toml_mistake(exc: ValueError) -> str:
    """Of the exception's words those in which there can be no piece of the file."""
    if isinstance(exc, UnicodeDecodeError):
        return f"byte {exc.start} is not UTF-8"
    words = re.match(r"[A-Za-z =/]*", str(exc))
    where = re.search(r"\(at [a-z0-9, ]*\)", str(exc))
    return " ".join(part[0].strip() for part in (words, where) if part and part[0].strip())


def _holds_secrets(document: dict[str, Any]) -> bool:
    """Whether the file itself has secrets in it, and not only names of variables."""

    def texts(value: object) -> Iterator[str]:
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                yield from texts(inner)
        elif isinstance(value, str):
            yield value

    places = (document.get("alerts", {}).get("urls"), document.get("dashboard", {}).get("token"))
    has_password = any(re.search(r"://[^/@\s]*:[^/@\s]+@", _VARIABLE.sub("", text)) for text in texts(document))
    return has_password or any(
        _VARIABLE.sub("", text) == text and not is_topic(text) for place in places for text in texts(place)
    )


def job_of(config: Config, name: str) -> SyncJob | SecretsJob | RotateJob:
    """The job of that name. Raises :class:`ConfigError` that names the jobs there are."""
    if name in config.job:
        return config.job[name]
    nearest = _nearest(name, config.job)
    known = ", ".join(sorted(config.job)) or "none"
    raise ConfigError(
        f"there is no job {name}" + (f", did you mean {nearest}?" if nearest else ""),
        hint=f"configured jobs: {known}",
    )


def _completed(value: Any, path: tuple[str, ...], mistakes: list[str]) -> Any:
    """``${NAME}`` in strings is taken from the environment."""
    if isinstance(value, dict):
        return {key: _completed(inner, (*path, key), mistakes) for key, inner in value.items()}
    if isinstance(value, list):
        return [_completed(inner, (*path, str(number)), mistakes) for number, inner in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            mistakes.append(f"{'.'.join(path)}: the variable {found[1]} is not set")
        return os.environ.get(found[1], "")

    return _VARIABLE.sub(replace, value)


def _explain(error: Any) -> str:
    """One mistake in the user's words: the key, what is wrong, and the nearest known key."""
    location = [str(part) for part in error["loc"] if part != "[key]"]
    # pydantic names the kind of a job between the job and its key
    if len(location) > 2 and location[0] == "job" and location[2] in ("sync", "secrets", "rotate"):
        kind = location.pop(2)
    else:
        kind = ""
    key = shown(".".join(location), 200)
    if location[:2] == ["alerts", "urls"]:
        # Somebody may have written a secret where a key belongs.
        key = ".".join(location[:3])
        is_unknown = error["type"] == "extra_forbidden"
        what = "has an unknown key; known are name, url" if is_unknown else error["msg"]
        return f"{key}: {what.removeprefix('Value error, ')}"
    if error["type"] == "extra_forbidden":
        nearest = _nearest(location[-1], _known(location[:-1], kind))
        return f"{key}: unknown key" + (f", did you mean {nearest}?" if nearest else "")
    if error["type"] == "missing":
        return f"{key} is missing"
    if error["type"] == "union_tag_not_found":
        return f'{key}.kind is missing: "sync", "secrets" or "rotate"'
    return f"{key}: {error['msg'].removeprefix('Value error, ')}"


def _nearest(word: str, known: Collection[str]) -> str | None:
    """The known word that was probably meant."""
    begun = [name for name in known if name.startswith(word)]
    return next(iter(begun or difflib.get_close_matches(word, known, 1, 0.5)), None)


_JOB_MODELS: dict[str, type[BaseModel]] = {"sync": SyncJob, "secrets": SecretsJob, "rotate": RotateJob}
_MODELS: dict[str, type[BaseModel]] = {
    "state": State,
    "daemon": Daemon,
    "metrics": Metrics,
    "dashboard": Dashboard,
    "identity": Identities,
    "metrics.oci": OciMetrics,
    "identity.oci": OciIdentityConfig,
    "identity.aws": AwsIdentityConfig,
    "alerts": Alerts,
    "connection_blob": ConnectionBlob,
    "audit": Audit,
    "database": Database,
    "file": SecretFile,
    "file.notify": Notify,
    "set": SecretSet,
    "set.notify": Notify,
    "set.file": SetFile,
}


def _known(table: list[str], kind: str) -> list[str]:
    """The keys that a table may have."""
    if not table:
        return list(Config.model_fields)
    if table[0] == "job" and len(table) == 2:
        return list(_JOB_MODELS[kind].model_fields) if kind else []
    inner = [part for part in (table[2:] if table[0] == "job" else table) if not part.isdigit()]
    model = _MODELS.get(".".join(inner))
    return list(model.model_fields) if model else []
