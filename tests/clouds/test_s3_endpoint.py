"""Where a bucket is: the address that botocore sends to, for every setting that decides about it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import botocore.loaders
import botocore.session
import pytest
from botocore.config import Config

from keepstep.clouds.aws_chain import AwsSettings
from keepstep.clouds.aws_config import AwsConfig
from keepstep.clouds.s3_endpoint import S3Endpoint, S3Facts, s3_endpoint
from keepstep.errors import ConfigError, Unsupported

BUCKETS = ["my-bucket", "my.bucket", "My_Bucket", "ab", "b" * 63, "-lead", "trail-"]
REGIONS = ["us-east-1", "cn-north-1", "us-gov-west-1", "ap-moon-9", "moon"]
WRITTEN = [
    "",
    "use_dualstack_endpoint = true",
    "use_fips_endpoint = true",
    "s3 =\n  addressing_style = path",
    "s3 =\n  addressing_style = virtual",
    "s3 =\n  use_dualstack_endpoint = true",
    "s3 =\n  use_dualstack_endpoint = false\nuse_dualstack_endpoint = true",
    "use_fips_endpoint = true\nuse_dualstack_endpoint = true",
]
USERS = ["http://localhost:9000", "http://127.0.0.1:9000", "https://h.example/base/", "https://H.example:443"]


LOADER = botocore.loaders.create_loader()
"""Keeps the descriptions of the services that it has parsed."""


class Caught(Exception):
    """A request on its way out."""


def botocore_clients(regions: list[str]) -> dict[str, Any]:
    """Real clients whose requests end in :class:`Caught` when they would be sent."""

    def catch(request: Any, **_: Any) -> None:
        raise Caught(request.url)

    session = botocore.session.Session()
    session.register_component("data_loader", LOADER)
    session.set_credentials("a", "b")
    config = Config(s3={"us_east_1_regional_endpoint": "regional"}, retries={"total_max_attempts": 1})
    clients: dict[str, Any] = {region: session.create_client("s3", region, config=config) for region in regions}
    for client in clients.values():
        client.meta.events.register("before-send.s3", catch)
    return clients


def sends_to(client: Any, bucket: str) -> tuple[str, str]:
    """Scheme and host with the default port left out, and the raw path of the key ``k``."""
    with pytest.raises(Caught) as caught:
        client.head_object(Bucket=bucket, Key="k")
    url = urlsplit(str(caught.value))
    default = {"http": ":80", "https": ":443"}[url.scheme]
    return f"{url.scheme}://{url.netloc.lower().removesuffix(default)}", url.path


@pytest.mark.parametrize("written", WRITTEN)
def test_aws_addresses_are_botocores(written: str, write: Callable[..., Path]) -> None:
    """Partition, dual stack, FIPS and addressing style give botocore's host and path, in every region."""
    write(".aws/config", f"[default]\n{written}\n")
    config = AwsConfig(AwsSettings())
    regions = [region for region in REGIONS if "fips" not in written or not region.startswith("cn-")]
    clients = botocore_clients(regions)
    for bucket, region in itertools.product(BUCKETS, regions):
        ours = config.s3_endpoint(bucket, region)
        assert (ours.origin, ours.base + "/k") == sends_to(clients[region], bucket), (bucket, region)
        assert ours.region == region


@pytest.mark.parametrize("url", USERS)
@pytest.mark.parametrize("style", ["auto", "virtual", "path"])
def test_own_endpoints_are_addressed_as_botocore_does(
    url: str, style: str, monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path]
) -> None:
    """A user's endpoint is addressed by path, unless the profile asks for virtual hosts and it has names."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", url)
    write(".aws/config", f"[default]\nuse_fips_endpoint = true\ns3 =\n  addressing_style = {style}\n")
    client = botocore_clients(["eu-west-1"])["eu-west-1"]
    for bucket in BUCKETS[:3]:
        if bucket == "my.bucket" and "127.0.0.1" in url and style == "virtual":
            continue  # botocore makes a name below an IP address of it, which nothing can resolve
        ours = AwsConfig(AwsSettings()).s3_endpoint(bucket, "eu-west-1")
        assert (ours.origin, ours.base + "/k") == sends_to(client, bucket), bucket


def test_acceleration() -> None:
    """Accelerated buckets are addressed without a region, as the S3 user guide says."""
    facts = S3Facts(region="eu-west-1", accelerate=True, addressing_style="path")
    assert s3_endpoint("my-bucket", facts).origin == "https://my-bucket.s3-accelerate.amazonaws.com"
    assert s3_endpoint("my.bucket", facts) == S3Endpoint(
        "https", "s3.eu-west-1.amazonaws.com", "/my.bucket", "eu-west-1"
    )


def test_china_has_no_fips_endpoints() -> None:
    """What botocore refuses is refused here too, before a name is looked up that does not exist."""
    with pytest.raises(ConfigError, match="cn-north-1"):
        s3_endpoint("b", S3Facts(region="cn-north-1", fips=True, suffix="amazonaws.com.cn"))


PRECEDENCE = [
    ({"AWS_ENDPOINT_URL_S3": "http://a", "AWS_ENDPOINT_URL": "http://b"}, "http://a"),
    ({"AWS_ENDPOINT_URL": "http://b"}, "http://b"),
    ({"AWS_ENDPOINT_URL_STS": "http://sts"}, "http://section"),
    ({}, "http://section"),
    ({"AWS_PROFILE": "plain"}, "http://global"),
    ({"AWS_PROFILE": "plain", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, None),
    ({"AWS_ENDPOINT_URL_S3": "http://a", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}, None),
    ({"AWS_PROFILE": "silent"}, None),
]


@pytest.mark.parametrize(("environment", "wanted"), PRECEDENCE)
def test_precedence_of_endpoint_urls(
    environment: dict[str, str], wanted: str | None, monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path]
) -> None:
    """Service variable, general variable, services section, profile; all of them can be ignored."""
    write(
        ".aws/config",
        "[default]\nservices = mine\nendpoint_url = http://global\n"
        "[profile plain]\nendpoint_url = http://global\n[profile silent]\nregion = eu-west-1\n"
        "[services mine]\ns3 =\n  endpoint_url = http://section\n",
    )
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert AwsConfig(AwsSettings()).s3_url == wanted
    assert AwsConfig(AwsSettings(endpoint_url="http://mine")).s3_endpoint("b").origin == "http://mine"


def test_a_missing_services_section_is_named(write: Callable[..., Path]) -> None:
    """A profile that points to a services section which is not there is an error that names the section."""
    write(".aws/config", "[default]\nservices = nowhere\n")
    with pytest.raises(ConfigError, match="nowhere"):
        _ = AwsConfig(AwsSettings()).s3_url


@pytest.mark.parametrize(
    ("bucket", "url", "error"),
    [
        ("arn:aws:s3:eu-west-1:1:accesspoint/x", None, Unsupported),
        ("data--usw2-az1--x-s3", None, Unsupported),
        ("a/b", None, ConfigError),
        ("", None, ConfigError),
        ("b", "localhost:9000", ConfigError),
        ("b", "ftp://h", ConfigError),
    ],
)
def test_what_is_no_bucket_or_address_is_refused(bucket: str, url: str | None, error: type[Exception]) -> None:
    """Names and addresses that cannot work are refused before any request."""
    with pytest.raises(error):
        s3_endpoint(bucket, S3Facts(region="eu-west-1", url=url))


def test_region_settings(monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path]) -> None:
    """The region comes from the settings, AWS_REGION, AWS_DEFAULT_REGION, the profile, in this order."""
    assert AwsConfig(AwsSettings()).region is None
    write(".aws/config", "[default]\nregion = r-profile\n")
    assert AwsConfig(AwsSettings()).region == "r-profile"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "r-default")
    assert AwsConfig(AwsSettings()).region == "r-default"
    monkeypatch.setenv("AWS_REGION", "r-env")
    assert AwsConfig(AwsSettings()).region == "r-env"
    assert AwsConfig(AwsSettings(region="r-mine")).region == "r-mine"


def test_ca_bundle(monkeypatch: pytest.MonkeyPatch, write: Callable[..., Path]) -> None:
    """Settings, AWS_CA_BUNDLE, the profile's ca_bundle, REQUESTS_CA_BUNDLE; a file that is missing is named."""
    one, two, three = (str(write(name, "")) for name in ("one.pem", "two.pem", "three.pem"))
    assert AwsConfig(AwsSettings()).ca_bundle is None
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", one)
    assert AwsConfig(AwsSettings()).ca_bundle == one
    write(".aws/config", f"[default]\nca_bundle = {two}\n")
    assert AwsConfig(AwsSettings()).ca_bundle == two
    monkeypatch.setenv("AWS_CA_BUNDLE", three)
    assert AwsConfig(AwsSettings()).ca_bundle == three
    assert AwsConfig(AwsSettings(ca_bundle=one)).ca_bundle == one
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere.pem")
    with pytest.raises(ConfigError, match=r"/nowhere\.pem"):
        _ = AwsConfig(AwsSettings()).ca_bundle


def test_s3_options(write: Callable[..., Path]) -> None:
    """The profile's s3 block is given as it is written; a block that is none is explained."""
    write(".aws/config", "[default]\ns3 =\n  max_concurrent_requests = 20\n  max_bandwidth = 50MB/s\n")
    assert AwsConfig(AwsSettings()).s3_options == {"max_concurrent_requests": "20", "max_bandwidth": "50MB/s"}
    write(".aws/config", "[default]\ns3 = fast\n")
    with pytest.raises(ConfigError, match="not a nested block"):
        _ = AwsConfig(AwsSettings()).s3_options
    with pytest.raises(ConfigError, match="not a nested block"):
        AwsConfig(AwsSettings()).s3_endpoint("b")
