"""``keepstep.toml``: read, completed from the environment, and checked before anything runs.

All mistakes are reported at once, each with its key; an unknown key with the nearest known one. The models below
are the only definition of the format: ``keepstep config schema`` prints them as JSON Schema.
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
from keepstep.trust import CONFIG_PATHS, exposure, trusted

_FORMAT = "see https://toml.io for the format"

_VARIABLE = re.compile(r"(?P<literal>\$)?\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}")
"""With another ``$`` before it, it stands for itself."""


def parse_duration(value: Any) -> Any:
    """Parses ``90s``, ``5m``, ``1h30m``, ``7d`` or a number of seconds. Raises ``ValueError``."""
    if isinstance(value, str):
        return durations.parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return durations.bounded(value)
    return value


def _schedule(value: Any) -> Any:
    """Checks a schedule, and returns the text unchanged."""
    if isinstance(value, str):
        parse_schedule(value, UTC)
    return value


def _size(value: Any) -> Any:
    """Parses ``512MiB``, ``2GiB``, or bytes."""
    return durations.parse_size(value) if isinstance(value, str) else value


def _listen(value: Any) -> Any:
    """Checks a listening address, and returns the text unchanged."""
    if isinstance(value, str):
        Listen.parse(value)
    return value


def _job_name(name: str) -> str:
    """Checks a job's name, which is shown everywhere and is part of paths and command lines."""
    if not name or len(name) > 100 or name != name.strip() or shown(name) != name or name.startswith("-"):
        raise ValueError("a job's name has 1 to 100 visible characters and does not start with -")
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
        raise ValueError("it must be a string: sqlite:////path/state.db or postgresql://…")
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
    """After SIGTERM, running jobs get this long before they are asked to stop."""
    max_runs: int | None = Field(default=None, ge=1)
    """Maximum runs at a time; without it, as many as are due."""


def _metric_namespace(value: Any) -> Any:
    """Checks a metric namespace. Raises ``ValueError`` if OCI Monitoring would refuse it."""
    if not re.fullmatch(r"(?!oci_|oracle_)[a-z][a-z0-9_]*[a-z0-9]", str(value)):
        raise ValueError("a namespace consists of a-z, 0-9 and _, and does not start with oci_ or oracle_")
    return value


OciAuth = Literal["api_key", "instance_principal", "resource_principal", "security_token", "oke_workload_identity"]


class OciMetrics(_Model):
    """The metric ``success`` of OCI Monitoring, for an alarm on its absence."""

    compartment: str
    """OCID of the compartment of the metric and its alarms."""
    namespace: Annotated[str, BeforeValidator(_metric_namespace)] = "keepstep"
    region: str | None = None
    """Region to post to; the identity's own region if not given."""
    auth: OciAuth | None = None
    """Identity that posts it, if not ``[identity.oci]``."""


class Metrics(_Model):
    """Metrics for monitoring. The daemon serves /metrics at the address of the status page."""

    oci: OciMetrics | None = None
    """Posted after every successful run of a job."""

    textfile: str | None = None
    """File for the textfile collector of Prometheus's node_exporter, written after every run of a job."""


class Dashboard(_Model):
    """The status page."""

    listen: Annotated[str, BeforeValidator(_listen)] = "127.0.0.1:8731"
    token: Annotated[SecretStr, Field(min_length=16)] | None = None
    """Token that visitors need; required unless ``listen`` is a loopback address."""
    spend: list[str] | None = None
    """Addresses of FOCUS reports; if not given, the targets of jobs that fetch OCI's."""


class OciIdentityConfig(_Model):
    """The identity in OCI."""

    auth: OciAuth | None = None
    profile: str | None = None
    config_file: str | None = None


class AwsIdentityConfig(_Model):
    """The identity on AWS: botocore's credential chain, then the roles, each assumed with the previous one."""

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
    """Its name in logs, status and metrics; if not given, its kind and number."""
    url: SecretStr
    """Address in Apprise's form. It is never shown."""


class Alerts(_Model):
    """Where alerts are sent to, in Apprise's address forms."""

    urls: list[Annotated[AlertChannel, BeforeValidator(lambda v: {"url": v} if isinstance(v, str) else v)]] = Field(
        default_factory=list
    )
    """Addresses, or tables of ``name`` and ``url``."""
    repeat: Duration = timedelta(hours=6)
    """A lasting alert is repeated after this long, then after twice as long, up to once a week."""
    pending_after: Duration = timedelta(hours=2)
    """A rotation that is pending for longer than this is stuck."""

    @property
    def channels(self) -> list[Channel]:
        return named([(each.name, Secret(each.url.get_secret_value())) for each in self.urls])


class _Job(_Model):
    schedule: Annotated[str | None, BeforeValidator(_schedule)] = None
    """A cron expression, or ``@hourly``, ``@every 5m``; without it the job runs only on demand."""
    timezone: Annotated[str | None, BeforeValidator(_zone)] = None
    """Time zone of the cron expression, such as Europe/Berlin; the machine's own if not given."""
    jitter: Duration | None = None
    """Runs start at a random moment up to this long after their time."""
    deadline: Duration | None = None
    """A run that takes longer than this is stopped."""
    missed: Literal["once", "skip"] = "once"
    """What to do about times at which no daemon ran: make up for all of them with one run, or skip them."""
    startup: bool = False
    """Runs also when the daemon starts."""
    memory: Annotated[int | None, Field(ge=2**20, le=durations.LARGEST), BeforeValidator(_size)] = None
    """Maximum memory of a run, such as 1GiB."""
    success_within: Duration | None = None
    """Alert when no run has succeeded for this long; if not given, three of its times plus an hour."""
    identity: Identities | None = None
    """Overrides the identities of the file."""


class SyncJob(_Job):
    """Makes a target folder match a source folder."""

    kind: Literal["sync"]
    source: str
    target: str
    params: str = ""
    """Options of ``keepstep sync``, split as by a shell."""
    stale_after: Duration | None = None
    """Alert when no new object has arrived for this long."""


class SecretsJob(_Job):
    """Writes secrets to files and signals the containers that use them."""

    kind: Literal["secrets"]
    map: str | None = None
    """Path of a map.csv."""
    file: list[SecretFile] = Field(default_factory=list)
    """What a line of the map cannot express: owners, templates, several places."""
    set: list[SecretSet] = Field(default_factory=list)
    """Files that are switched together."""
    max_stale: Duration | None = None
    """Maximum age of a file while a vault is unavailable; then the run fails."""
    fingerprint_key: str | None = None
    """Address of the secret that keys the fingerprints of ``secrets drift``; hosts that share it compare."""


class ConnectionBlob(_Model):
    """Secrets with ready-made connection strings, one for each cloud."""

    aws: str | None = None
    oci: str | None = None


class Audit(_Model):
    """Where rotations are recorded, and the key that signs the entries."""

    log: str
    """``s3://…`` or ``oci://…``: entries are stored beneath it, in a folder named after the job."""
    key: str
    """Address of the secret whose newest version signs."""
    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """Name of the log, if not that of the job; ``rotation`` continues that of a run from variables."""
    anchor: str | None = None
    """A bucket in the other cloud that holds each entry's hash, so that a missing end of the log is noticed."""


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
    """PEM file with the only certificate authorities to trust."""
    wallet: str | None = None
    """Oracle: a wallet as a file, a secret or an object; zip or PEM."""


class RotateJob(_Job):
    """Rotates one credential in two clouds and any number of databases."""

    kind: Literal["rotate"]
    interval: Duration = timedelta(hours=24)
    """A credential that is older than this is due."""
    grace: Duration = timedelta(hours=1)
    """Time before an old password is retired, if two can be valid."""
    strategy: Literal["alternating", "dual", "rollover", "single"] | None = None
    """How clients keep working while passwords change; single if not given."""
    aws_secret: str | None = None
    oci_secret: str | None = None
    username: str | None = None
    """Refuse secrets that name another user."""
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
        """A warning if others can read secrets in the file, with what to do; otherwise empty."""
        return self._exposure


def find(given: str | None) -> Path | None:
    """The given file, or the first default that exists. Raises :class:`ConfigError`.

    A default file is used only if nobody else could have put it there.
    """
    if given is not None:
        return Path(given)
    found = next((path for path in CONFIG_PATHS if os.path.isfile(path)), None)
    return found and trusted(found, hint=f"name it, if you trust it: --config {found}")


def load(path: Path) -> Config:
    """Reads and checks a file. Raises :class:`ConfigError` that names every mistake, by line or key."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"there is no configuration file {path}", hint="name it with --config") from None
    except OSError as exc:
        raise ConfigError(f"cannot read {path}: {exc.strerror}", hint="name a readable file") from exc
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
        raise ConfigError(f"{path}: " + "; ".join(mistakes), hint="keepstep config schema prints all valid keys")
    config._exposure = exposure(path, "the secrets in") if _holds_secrets(document) else ""
    return config


def _toml_mistake(exc: ValueError) -> str:
    """The parts of the exception's message that cannot quote the file."""
    if isinstance(exc, UnicodeDecodeError):
        return f"byte {exc.start} is not UTF-8"
    words = re.match(r"[A-Za-z =/]*", str(exc))
    where = re.search(r"\(at [a-z0-9, ]*\)", str(exc))
    return " ".join(part[0].strip() for part in (words, where) if part and part[0].strip())


def _holds_secrets(document: dict[str, Any]) -> bool:
    """Whether the file itself contains secrets, and not only names of variables."""

    def texts(value: object) -> Iterator[str]:
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                yield from texts(inner)
        elif isinstance(value, str):
            yield value

    places = (document.get("alerts", {}).get("urls"), document.get("dashboard", {}).get("token"))
    has_password = any(re.search(r"://[^/@\s]*:[^/@\s]+@", _without_variables(text)) for text in texts(document))
    return has_password or any(
        _without_variables(text) == text and not is_topic(text) for place in places for text in texts(place)
    )


def _without_variables(text: str) -> str:
    return _VARIABLE.sub(lambda found: found[0] if found["literal"] else "", text)


def job_of(config: Config, name: str) -> SyncJob | SecretsJob | RotateJob:
    """The job of that name. Raises :class:`ConfigError` that names the existing jobs."""
    if name in config.job:
        return config.job[name]
    nearest = _nearest(name, config.job)
    known = ", ".join(sorted(config.job)) or "none"
    raise ConfigError(
        f"there is no job {name}" + (f", did you mean {nearest}?" if nearest else ""),
        hint=f"configured jobs: {known}",
    )


def _completed(value: Any, path: tuple[str, ...], mistakes: list[str]) -> Any:
    """Expands ``${NAME}`` in strings from the environment; ``$${NAME}`` is the text ``${NAME}``."""
    if isinstance(value, dict):
        return {key: _completed(inner, (*path, key), mistakes) for key, inner in value.items()}
    if isinstance(value, list):
        return [_completed(inner, (*path, str(number)), mistakes) for number, inner in enumerate(value)]
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        if found["literal"]:
            return found[0][1:]
        if found["name"] not in os.environ:
            mistakes.append(f"{'.'.join(path)}: the variable {found['name']} is not set")
        return os.environ.get(found["name"], "")

    return _VARIABLE.sub(replace, value)


def literal(text: str) -> str:
    """The text as it has to be written for every ``${NAME}`` in it to stand for itself."""
    return _VARIABLE.sub(lambda found: f"{found['literal'] or ''}${found[0][len(found['literal'] or '') :]}", text)


def _explain(error: Any) -> str:
    """Describes one mistake: the key, what is wrong, and the nearest known key."""
    location = [str(part) for part in error["loc"] if part != "[key]"]
    # pydantic names the kind of a job between the job and its key
    if len(location) > 2 and location[0] == "job" and location[2] in ("sync", "secrets", "rotate"):
        kind = location.pop(2)
    else:
        kind = ""
    key = shown(".".join(location), 200)
    if location[:2] == ["alerts", "urls"]:
        # A secret may have been written in place of a key.
        key = ".".join(location[:3])
        is_unknown = error["type"] == "extra_forbidden"
        what = "has an unknown key; valid keys are name and url" if is_unknown else error["msg"]
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
    found = [name for name in known if name.startswith(word)]
    return next(iter(found or difflib.get_close_matches(word, known, 1, 0.5)), None)


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
    """The valid keys of a table."""
    if not table:
        return list(Config.model_fields)
    if table[0] == "job" and len(table) == 2:
        return list(_JOB_MODELS[kind].model_fields) if kind else []
    inner = [part for part in (table[2:] if table[0] == "job" else table) if not part.isdigit()]
    model = _MODELS.get(".".join(inner))
    return list(model.model_fields) if model else []
