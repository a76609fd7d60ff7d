"""What the OCI Vault API accepts: the bodies of its requests, checked field by field.

Names are the API's own, camelCase on the wire. Source: the models of ``oci.vault`` in the OCI SDK and the reference
of the Secret Management API 20180608.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from keepstep_localcloud.wire import ServiceError

MAX_CONTENT = 25 * 1024
"""Bytes of one secret's content ("Overview of Vault": 25 KB)."""


def invalid(message: str) -> ServiceError:
    return ServiceError(400, "InvalidParameter", message)


def _utc(moment: datetime) -> datetime:
    """The OCI SDK sends a naive ``datetime`` as it stands: it is taken for UTC."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _content(text: str) -> str:
    try:
        size = len(base64.b64decode(text, validate=True))
    except ValueError as exc:
        raise ValueError("content has an invalid format") from exc
    if not 0 < size <= MAX_CONTENT:
        raise ValueError(f"content must have between 1 and {MAX_CONTENT} bytes")
    return text


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,255}$")]
Time = Annotated[datetime, AfterValidator(_utc)]


class Wire(BaseModel):
    """An immutable JSON object; unknown fields are ignored, and no error repeats a value that was sent."""

    model_config = ConfigDict(
        frozen=True, alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True
    )


class ExpiryRule(Wire):
    """Each version expires after an interval, the whole secret at a time, whichever comes first."""

    rule_type: Literal["SECRET_EXPIRY_RULE"]
    secret_version_expiry_interval: (
        Annotated[str, StringConstraints(pattern=r"^P([1-9]|[1-8][0-9]|90)D$")] | None
    ) = None
    time_of_absolute_expiry: Time | None = None
    is_secret_content_retrieval_blocked_on_expiry: bool = False

    def expiry(self, created: datetime) -> datetime | None:
        """When a version that was created then expires; None is never."""
        ends = [self.time_of_absolute_expiry] if self.time_of_absolute_expiry else []
        if self.secret_version_expiry_interval:
            ends.append(created + timedelta(days=int(self.secret_version_expiry_interval[1:-1])))
        return min(ends, default=None)


class ReuseRule(Wire):
    """No two versions have the same content."""

    rule_type: Literal["SECRET_REUSE_RULE"]
    is_enforced_on_deleted_secret_versions: bool = False


Rule = Annotated[ExpiryRule | ReuseRule, Field(discriminator="rule_type")]


class RotationConfig(Wire):
    """Rotation by OCI itself, into a database or a function of its own."""

    target_system_details: dict[str, Any]
    rotation_interval: (
        Annotated[str, StringConstraints(pattern=r"^P([1-9][0-9]?|[12][0-9]{2}|3[0-5][0-9]|360)D$")] | None
    ) = None
    is_scheduled_rotation_enabled: bool = False

    @model_validator(mode="after")
    def _has_interval(self) -> RotationConfig:
        if self.is_scheduled_rotation_enabled and not self.rotation_interval:
            raise ValueError("rotationInterval must be set")
        return self


class Described(Wire):
    """What may be set when a secret is created and changed later; None is unset."""

    description: str | None = None
    freeform_tags: dict[str, str] | None = None
    defined_tags: dict[str, dict[str, Any]] | None = None
    metadata: dict[str, Any] | None = None
    secret_rules: tuple[Rule, ...] | None = None
    rotation_config: RotationConfig | None = None
    replication_config: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_rule_of_each_type(self) -> Described:
        types = [rule.rule_type for rule in self.secret_rules or ()]
        if len(types) != len(set(types)):
            raise ValueError("secretRules: at most one rule of each type")
        return self

    def described(self) -> dict[str, Any]:
        """The fields of this class that are set, by name."""
        values = {name: getattr(self, name) for name in Described.model_fields}
        return {name: value for name, value in values.items() if value is not None}


class SecretContent(Wire):
    content_type: Literal["BASE64"]
    content: Annotated[str, AfterValidator(_content)] = Field(repr=False)
    name: Name | None = None
    stage: Literal["CURRENT", "PENDING"] | None = None


class CreateSecretDetails(Described):
    """The content is required: this vault generates none by itself."""

    compartment_id: str
    vault_id: str
    key_id: str
    secret_name: Name
    secret_content: SecretContent

    @model_validator(mode="after")
    def _starts_current(self) -> CreateSecretDetails:
        if self.secret_content.stage == "PENDING":
            raise ValueError("secretContent.stage: the first version is always CURRENT")
        return self


class UpdateSecretDetails(Described):
    secret_content: SecretContent | None = None
    current_version_number: int | None = None

    @model_validator(mode="after")
    def _one_thing_at_a_time(self) -> UpdateSecretDetails:
        if sum(x is not None for x in (self.secret_content, self.current_version_number, self.secret_rules)) > 1:
            raise ValueError("secretContent, currentVersionNumber and secretRules exclude each other")
        if self.secret_content and self.replication_config:
            raise ValueError("secretContent and replicationConfig exclude each other")
        return self


class ScheduleDeletionDetails(Wire):
    time_of_deletion: Time | None = None


class ChangeCompartmentDetails(Wire):
    compartment_id: str


class ConfigureDetails(Wire):
    settle_ms: Annotated[int, Field(ge=0, le=3_600_000)]


Body = TypeVar("Body", bound=Wire)


def parsed(body: type[Body], document: Any) -> Body:
    """``document`` as ``body``. Raises 400 ``MissingParameter`` or ``InvalidParameter``, which name the field."""
    try:
        return body.model_validate(document)
    except ValidationError as exc:
        error = exc.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in error["loc"])
        if error["type"] == "missing":
            raise ServiceError(400, "MissingParameter", f"{field} is required") from exc
        message = error["msg"].removeprefix("Value error, ")
        raise invalid(f"{field}: {message}" if field else message) from exc
