"""Redis URLs: resolvable from the operator's pod, never shown with a password, and clear when wrong."""

from __future__ import annotations

import pytest
from crewline_operator.model.fault import Fault
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.faults import redis_fault
from crewline_operator.redis.urls import parse_redis_url
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    ConnectionError,
    OutOfMemoryError,
    RedisClusterException,
    ResponseError,
    TimeoutError,
)


def parsed(url: str) -> Endpoint:
    endpoint = parse_redis_url(url, "shop", "spec.redis.url")
    assert isinstance(endpoint, Endpoint), endpoint
    return endpoint


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("redis://redis:6379/0", "redis://redis.shop.svc:6379/0"),
        ("redis://redis", "redis://redis.shop.svc:6379/0"),
        ("redis://redis.data:6380/3", "redis://redis.data:6380/3"),
        ("redis://10.1.2.3", "redis://10.1.2.3:6379/0"),
        ("redis://[fd00::1]:7000/1", "redis://[fd00::1]:7000/1"),
        ("rediss://user:p%40ss@cache.example.com/2", "rediss://user:p%40ss@cache.example.com:6379/2"),
        ("redis://redis/?db=4", "redis://redis.shop.svc:6379/4"),
        ("redis://redis?username=u&password=p", "redis://u:p@redis.shop.svc:6379/0"),
        (
            "rediss://redis?ssl_cert_reqs=none&protocol=2",
            "rediss://redis.shop.svc:6379/0?protocol=2&ssl_cert_reqs=none",
        ),
        (
            "redis+sentinel://:pw@s1,s2.data:7000,10.1.2.3/main/2?sentinel_password=a%26b",
            "redis+sentinel://:pw@s1.shop.svc:26379,s2.data:7000,10.1.2.3:26379/main/2?sentinel_password=a%26b",
        ),
        ("rediss+cluster://n1,[fd00::1]:7000", "rediss+cluster://n1.shop.svc:6379,[fd00::1]:7000"),
    ],
)
def test_a_service_name_is_qualified_with_the_namespace_and_defaults_are_filled_in(url: str, absolute: str) -> None:
    assert parsed(url).url == absolute


def test_what_is_shown_has_no_user_and_no_password() -> None:
    endpoint = parsed("redis://alice:s3cret@redis:6379/1")
    assert endpoint.shown == "redis.shop.svc:6379/1"
    assert "s3cret" not in repr(endpoint)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis+sentinel://u:s3cret@s1,s2/main/2?sentinel_password=s3cret",
         "redis+sentinel://s1.shop.svc:26379,s2.shop.svc:26379/main/2"),
        ("rediss+cluster://u:s3cret@n1:7000", "rediss+cluster://n1.shop.svc:7000"),
    ],
)  # fmt: skip
def test_several_servers_are_shown_as_their_url(url: str, shown: str) -> None:
    assert parsed(url).shown == shown


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"])
def test_a_url_has_the_operator_read_no_file_of_its_own(option: str) -> None:
    # reading that one would not end
    fault = parse_redis_url(f"rediss://redis?{option}=/dev/zero", "shop", "key 'url' of Secret 'redis'")
    assert isinstance(fault, Fault)
    assert (
        fault.message.startswith("key 'url' of Secret 'redis' names a file of TLS")
        and "spec.redis.tls" in fault.message
    )


@pytest.mark.parametrize(
    "url",
    [
        "", "http://redis:6379", "redis://", "redis://:pa/ss@host:6379", "redis://redis:port/0", "redis://redis/x",
        "redis://:P@pa#1@redis:6379/0", "redis://u:42?pa@redis:6379/0", "redis://:p a@redis:6379/0", "redis://a,b/0",
        "redis://redis:0/0", "redis://redis/99999999999999999999", "redis+sentinel://redis:26379", "unix:///run/redis.sock",
        "redis+cluster://:7000", "redis+cluster://a/3",
    ],
)  # fmt: skip
def test_an_unusable_url_is_told_without_quoting_it(url: str) -> None:
    fault = parse_redis_url(url, "shop", "key 'url' of Secret 'redis'")
    assert isinstance(fault, Fault)
    assert fault.reason == "InvalidRedisURL"
    assert fault.message.startswith("key 'url' of Secret 'redis' is not a Redis URL: write redis://")
    assert "pa" not in fault.message.replace("password", "")


@pytest.mark.parametrize(
    ("error", "reason", "part"),
    [
        (AuthenticationError("WRONGPASS invalid"), "RedisAuthFailed", "correct user and password"),
        (ResponseError("NOAUTH Authentication required."), "RedisAuthFailed", "correct user and password"),
        (ConnectionError("Error 111 connecting to r:6379. Connection refused."), "RedisUnreachable", "refused"),
        (TimeoutError("Timeout reading"), "RedisUnreachable", "in time"),
        (BusyLoadingError("LOADING"), "RedisUnreachable", "loading"),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), "RedisFull", "is full"),
        (
            ResponseError("The user executing the script can't run this command or subcommand"),
            "RedisPermissionDenied",
            "ACL rule",
        ),
        (
            ConnectionError(
                "Error 1 connecting to r:6379. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed."
            ),
            "RedisTLSFailed",
            "spec.redis.tls.ca",
        ),
        (ClusterDownError("CLUSTERDOWN The cluster is down"), "RedisUnreachable", "nobody serves all slots"),
        (RedisClusterException("None of the nodes can be reached"), "RedisUnreachable", "spec.redis.cluster"),
        (ResponseError("MASTERDOWN Link with MASTER is down"), "RedisRefuses", "'MASTERDOWN'"),
    ],
)
def test_an_error_of_redis_is_told_with_its_mend(error: Exception, reason: str, part: str) -> None:
    fault = redis_fault(error, "redis.shop.svc:6379/0")
    assert fault.reason == reason
    assert "redis.shop.svc:6379/0" in fault.message
    assert part in fault.message


def test_what_a_server_quotes_of_a_login_is_not_told() -> None:
    quoted = "unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `app`, `TopSecret`, "
    fault = redis_fault(ResponseError(quoted), "redis:6379/0")
    assert fault.reason == "RedisRefuses"
    assert "TopSecret" not in fault.message and "app" not in fault.message
