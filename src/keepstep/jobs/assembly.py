"""Creates parts from settings: the only module that names a concrete store, vault, recipient or identity."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from keepstep.errors import ConfigError
from keepstep.jobs.settings import CloudSettings
from keepstep.objects.plan import Direction
from keepstep.stores.address import Address
from keepstep.stores.interface import Store
from keepstep.stores.options import TransferOptions

if TYPE_CHECKING:
    from keepstep.clouds.aws import AwsIdentity
    from keepstep.clouds.aws_chain import AwsSettings
    from keepstep.clouds.http import Timeouts
    from keepstep.clouds.oci import OciIdentity
    from keepstep.clouds.s3_block import S3Block
    from keepstep.config import Config
    from keepstep.containers.interface import Kind, Recipient
    from keepstep.monitoring.alerting import Alerting
    from keepstep.state.database import Database
    from keepstep.vaults.interface import Vault

_FOREVER = 365 * 86400
"""Seconds that stand for no limit."""


@dataclass
class Assembly:
    """Creates parts, each identity once, so that both sides of a job share it."""

    settings: CloudSettings = field(default_factory=CloudSettings)
    options: TransferOptions = field(default_factory=TransferOptions)
    """Options for the objects and requests of both sides."""
    places: tuple[Address, ...] = ()
    """All places of the run: none of them is listed beneath another."""

    @cached_property
    def aws(self) -> AwsIdentity:
        from keepstep.clouds.aws import AwsIdentity

        return AwsIdentity(self._aws_settings(self.settings.region))

    @property
    def s3_block(self) -> S3Block:
        """Transfer settings of the AWS profile."""
        from keepstep.clouds.s3_block import s3_block

        return s3_block(self.aws.config.s3_options)

    @cached_property
    def aws_source(self) -> AwsIdentity:
        from keepstep.clouds.aws import AwsIdentity

        if not self.settings.source_region:
            return self.aws
        # As with the AWS CLI, --endpoint-url then applies only to the target.
        return AwsIdentity(replace(self._aws_settings(self.settings.source_region), endpoint_url=None))

    @cached_property
    def oci(self) -> OciIdentity:
        from keepstep.clouds.oci import OciIdentity, OciSettings

        settings = self.settings
        return OciIdentity(
            OciSettings(auth=settings.oci_auth, profile=settings.oci_profile, config_file=settings.oci_config_file)
        )

    def vaults(self, kinds: Iterable[str]) -> dict[str, Vault]:
        """One vault per requested kind, each with retries."""
        from keepstep.vaults.retrying import Retrying

        makers: dict[str, Callable[[], Vault]] = {
            "oci-vault": lambda: _oci_vault(self.oci),
            "aws-sm": lambda: _secrets_manager(self.aws),
            "aws-ssm": lambda: _parameter_store(self.aws),
        }
        return {kind: Retrying(makers[kind]()) for kind in dict.fromkeys(kinds)}

    def located(self, address: Address, *, is_target: bool) -> Address:
        """The address and the region of its bucket, as far as known without a request."""
        match address.kind:
            case "s3":
                with needs_extra("aws"):
                    return replace(address, origin=(self.aws if is_target else self.aws_source).config.s3_origin)
            case "oci":
                with needs_extra("oci"):
                    return replace(address, origin=self.oci.origin)
            case _:
                return address

    def source(self, address: Address) -> Store:
        return self._store(address, self.options, is_target=False)

    def target(self, address: Address) -> Store:
        return self._store(address, self.options, is_target=True)

    def trash(self, address: Address) -> Store:
        """The store for deleted and overwritten objects of the target, with the target's own key."""
        options = TransferOptions(
            source_key=self.options.target_key,
            target_key=self.options.target_key,
            request_payer=self.options.request_payer,
            escapes_keys=self.options.escapes_keys,
        )
        return self._store(address, options, is_target=True, is_relied_on=True)

    def _store(
        self, address: Address, options: TransferOptions, *, is_target: bool, is_relied_on: bool = False
    ) -> Store:
        match address.kind:
            case "s3":
                return self._s3(address, options, is_target=is_target)
            case "oci":
                return self._oci(address, options, is_target=is_target)
            case "local":
                return _local(address, options, self.places, is_target=is_target, is_relied_on=is_relied_on)

    def _s3(self, address: Address, options: TransferOptions, *, is_target: bool) -> Store:
        with needs_extra("aws"):
            from keepstep.stores.s3 import S3Store
            from keepstep.stores.s3_client import S3Client
            from keepstep.stores.s3_headers import s3_headers

            identity = self.aws if is_target else self.aws_source
            headers = s3_headers(options, is_target=is_target)
            client = S3Client(address.bucket, identity, headers=headers, timeouts=self.timeouts)
            return S3Store(address, client, options)

    def _oci(self, address: Address, options: TransferOptions, *, is_target: bool) -> Store:
        with needs_extra("oci"):
            from keepstep.stores.oci import OciStore
            from keepstep.stores.oci_client import OciClient
            from keepstep.stores.oci_headers import oci_headers

            headers = oci_headers(options, is_target=is_target)
            client = OciClient(address.bucket, address.namespace, self.oci, headers=headers, timeouts=self.timeouts)
            return OciStore(address, client, options)

    @property
    def timeouts(self) -> Timeouts:
        """The connect and read timeouts of a request."""
        from keepstep.clouds.http import Timeouts

        given = {"connect": self.settings.connect_timeout, "idle": self.settings.read_timeout}
        return Timeouts(**{name: float(value or _FOREVER) for name, value in given.items() if value is not None})

    def _aws_settings(self, region: str | None) -> AwsSettings:
        from keepstep.clouds.aws_chain import AwsSettings

        return AwsSettings(
            profile=self.settings.profile,
            region=region,
            role_arn=self.settings.role_arn,
            endpoint_url=self.settings.endpoint_url,
            ca_bundle=self.settings.ca_bundle,
            no_sign_request=self.settings.no_sign_request,
        )


def alerting_of(config: Config, database: Database) -> Alerting:
    """The alerts of a configuration, with their channels."""
    from keepstep.monitoring.alerting import Alerting
    from keepstep.monitoring.channels import channels_of

    return Alerting(database, channels_of(config.alerts.channels), config.alerts.repeat)


def recipients() -> dict[Kind, Recipient]:
    """The recipients of change notices; none is contacted before there is a notice."""
    from keepstep.containers.docker import ContainerEngines
    from keepstep.containers.interface import Kind
    from keepstep.containers.pid_file import PidFiles
    from keepstep.containers.systemd import SystemdUnits

    engines = ContainerEngines()
    return {
        Kind.CONTAINER: engines,
        Kind.LABEL: engines,
        Kind.UNIT: SystemdUnits(),
        Kind.PID_FILE: PidFiles(),
    }


def direction(source: Address, target: Address) -> Direction:
    """The action word for a transfer from one to the other."""
    if source.kind == "local" and target.kind != "local":
        return Direction.UPLOAD
    if source.kind != "local" and target.kind == "local":
        return Direction.DOWNLOAD
    return Direction.COPY


def _local(
    address: Address,
    options: TransferOptions,
    places: Iterable[Address],
    *,
    is_target: bool,
    is_relied_on: bool,
) -> Store:
    from keepstep.stores.local import LocalStore

    return LocalStore(
        address,
        writable=is_target,
        follow=options.follows_links,
        escapes=options.escapes_keys,
        tells_states=options.tells_contents,
        apart_from=[place.path for place in places if place.kind == "local"],
        is_relied_on=is_relied_on,
    )


def _oci_vault(identity: OciIdentity) -> Vault:
    with needs_extra("oci"):
        from keepstep.vaults.oci import OciVault

        return OciVault(identity)


def _secrets_manager(identity: AwsIdentity) -> Vault:
    with needs_extra("aws"):
        import botocore  # noqa: F401 - missing here rather than at the first question
    from keepstep.vaults.aws_secrets import SecretsManagerVault

    return SecretsManagerVault(identity)


def _parameter_store(identity: AwsIdentity) -> Vault:
    with needs_extra("aws"):
        import botocore  # noqa: F401 - likewise
    from keepstep.vaults.aws_parameters import ParameterStoreVault

    return ParameterStoreVault(identity)


class needs_extra:  # noqa: N801 - reads as a sentence
    """Turns a missing library into an error with the command that installs it."""

    def __init__(self, extra: str) -> None:
        self._extra = extra

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("keepstep"):
            raise ConfigError(
                f"this needs the library {error.name}, which is not installed",
                hint=f"pip install 'keepstep[{self._extra}]'",
            ) from error
