"""The Redis of a JobQueue, given what its Secrets and ConfigMaps hold: reachable, or told what is wrong and where."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from crewline.redis.address import parse_url
from crewline_operator.jobqueue.endpoint import resolve_endpoint
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Object
from crewline_operator.redis.certificates import Opened
from crewline_operator.redis.endpoint import Endpoint

from tests.certificates import write_certificates
from tests.unit.operator.factories import jobqueue


def secret(uid: str = "uid-secret", **data: bytes | str) -> Object:
    encoded = {
        name.replace("_", "."): base64.b64encode(value.encode() if isinstance(value, str) else value).decode()
        for name, value in data.items()
    }
    return {"metadata": {"uid": uid}, "data": encoded}


def key_ref(name: str, key: str) -> dict[str, Any]:
    return {"secretKeyRef": {"name": name, "key": key}}


PASSWORD = {"passwordFrom": key_ref("redis", "password")}


def resolved(redis: dict[str, Any], found: dict[str, Object | None] | None = None, **spec: Any) -> Endpoint | Fault:
    """What a spec.redis resolves to; all that is found is a Secret, but for what begins with config-."""
    kinds = {name: "ConfigMap" if name.startswith("config-") else "Secret" for name in found or {}}
    objects = {(kinds[name], name): obj for name, obj in (found or {}).items()}
    return resolve_endpoint(jobqueue(redis=redis, **spec), objects)


def endpoint(redis: dict[str, Any], found: dict[str, Object | None] | None = None, **spec: Any) -> Endpoint:
    made = resolved(redis, found, **spec)
    assert isinstance(made, Endpoint), made
    return made


def fault(redis: dict[str, Any], found: dict[str, Object | None] | None = None, **spec: Any) -> Fault:
    told = resolved(redis, found, **spec)
    assert isinstance(told, Fault), told
    return told


@pytest.mark.parametrize(
    ("redis", "url"),
    [
        ({"url": "redis://redis"}, "redis://app:p%40ss%2F1@redis.shop.svc:6379/0"),
        ({"url": "redis://redis:7000", "database": 3}, "redis://app:p%40ss%2F1@redis.shop.svc:7000/3"),
        ({"url": "redis://redis:7000/", "database": 3}, "redis://app:p%40ss%2F1@redis.shop.svc:7000/3"),
        (
            {"sentinel": {"masterName": "main", "hosts": ["s1", "s2:7000"]}, "database": 2},
            "redis+sentinel://app:p%40ss%2F1@s1.shop.svc:26379,s2.shop.svc:7000/main/2",
        ),
        (
            {"cluster": {"hosts": ["n1", "[fd00::1]:7000"]}, "tls": {}, "prefix": "{bull}"},
            "rediss+cluster://app:p%40ss%2F1@n1.shop.svc:6379,[fd00::1]:7000",
        ),
    ],
)
def test_whatever_the_servers_are_the_user_logs_in_with_the_password_of_the_secret(
    redis: dict[str, Any], url: str
) -> None:
    made = endpoint(redis | PASSWORD | {"username": "app"}, {"redis": secret(password="p@ss/1\n")})
    assert made.url == url
    assert "p@ss" not in repr(made) + made.shown


def test_sentinels_have_a_password_of_their_own() -> None:
    sentinel = {"masterName": "main", "hosts": ["s"], "username": "su", "passwordFrom": key_ref("guards", "pw")}
    found: dict[str, Object | None] = {"guards": secret(pw="g"), "redis": secret(password="p")}
    address = parse_url(endpoint({"sentinel": sentinel} | PASSWORD, found).url)
    assert address.guard == {"sentinel_username": "su", "sentinel_password": "g"}
    assert address.options["password"] == "p"


def test_what_a_url_in_a_secret_says_comes_first() -> None:
    redis = {"urlFrom": key_ref("redis", "url"), "username": "app"} | PASSWORD
    both = endpoint(redis, {"redis": secret(url="redis://u:own@r.data/1\n", password="p")})
    assert both.url == "redis://u:own@r.data:6379/1"
    bare = endpoint(redis, {"redis": secret(url="redis://r.data/1", password="p")})
    assert bare.url == "redis://app:p@r.data:6379/1"


@pytest.mark.parametrize("ca_from", ["secretKeyRef", "configMapKeyRef"])
def test_a_ca_is_part_of_the_endpoint_wherever_it_comes_from(tmp_path: Path, ca_from: str) -> None:
    write_certificates(tmp_path)
    pem = (tmp_path / "ca.crt").read_text()
    name = "authority" if ca_from == "secretKeyRef" else "config-authority"
    redis = {"url": "rediss://redis", "tls": {"ca": {ca_from: {"name": name, "key": "ca.crt"}}}}
    obj: Object = {"metadata": {"uid": "u"}, "data": {"ca.crt": pem}}
    made = endpoint(redis, {name: secret(ca_crt=pem) if ca_from == "secretKeyRef" else obj})
    assert parse_url(made.url).options["ssl_ca_data"] == pem.strip()
    assert made.shown == "redis.shop.svc:6379/0"


def test_a_clients_certificate_is_read_from_memory_and_taken_away(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    chain, key = (tmp_path / "client.crt").read_bytes(), (tmp_path / "client.key").read_bytes()
    redis = {"url": "rediss://redis", "tls": {"clientCertificate": {"secretName": "client"}}}
    one = endpoint(redis, {"client": secret("uid-1", tls_crt=chain, tls_key=key)})
    other = endpoint(redis, {"client": secret("uid-2", tls_crt=chain, tls_key=key)})
    assert one == other and hash(one) == hash(other), "the same content is the same client"
    assert "PRIVATE" not in repr(one)
    with Opened(one) as opened:
        options = parse_url(opened.url).options
        files = [Path(options[name]) for name in ("ssl_certfile", "ssl_keyfile")]
        assert [file.read_bytes() for file in files] == [chain, key]
    assert not any(file.exists() for file in files)


MISSING = [
    ({"urlFrom": key_ref("redis", "url")}, "MissingSecret", "spec.redis.urlFrom: ", "the Redis URL in key 'url'"),
    ({"url": "redis://r"} | PASSWORD, "MissingSecret", "spec.redis.passwordFrom: ", "the password in key 'password'"),
    (
        {"url": "rediss://r", "tls": {"clientCertificate": {"secretName": "redis"}}},
        "MissingSecret", "spec.redis.tls.clientCertificate: ", "the certificate (PEM) in key 'tls.crt'",
    ),
    (
        {"url": "rediss://r", "tls": {"ca": {"configMapKeyRef": {"name": "config-redis", "key": "ca"}}}},
        "MissingConfigMap", "spec.redis.tls.ca: ", "the CA's certificate (PEM) in key 'ca'",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("redis", "reason", "where", "mend"), MISSING)
def test_what_is_missing_is_told_with_its_field_and_what_to_put_there(
    redis: dict[str, Any], reason: str, where: str, mend: str
) -> None:
    name = "config-redis" if reason == "MissingConfigMap" else "redis"
    told = fault(redis, {name: None})
    assert told.reason == reason
    assert told.message.startswith(f"{where}there is no {reason.removeprefix('Missing')} {name!r} in namespace 'shop'")
    assert f"create it with {mend}, or name another" in told.message
    empty = fault(redis, {name: {"metadata": {"uid": "u"}}})
    assert empty.reason == reason and f"{name!r} has no key " in empty.message


URL = {"urlFrom": key_ref("s", "k")}
CA = {"url": "rediss://r", "tls": {"ca": key_ref("s", "k")}}
WRONG = [
    (URL, b"\xff", "InvalidRedisURL", "key 'k' of Secret 's' is not text"),
    (URL, b"http://h", "InvalidRedisURL", "key 'k' of Secret 's' is not a Redis URL"),
    (URL | {"tls": {}}, b"redis://h", "InvalidRedisURL", "key 'k' of Secret 's' is one without TLS"),
    (
        {"url": "redis://r", "passwordFrom": key_ref("s", "k")},
        b"\xff",
        "InvalidRedisURL",
        "is not text: write the pass",
    ),
    (CA, b"nothing", "InvalidCertificate", "spec.redis.tls.ca: k of"),
    (CA, b"", "InvalidCertificate", "can't be used: write the CA's"),
]


@pytest.mark.parametrize(("redis", "value", "reason", "part"), WRONG)
def test_what_can_not_be_used_is_told_without_quoting_it(
    redis: dict[str, Any], value: bytes, reason: str, part: str
) -> None:
    told = fault(redis, {"s": secret(k=value)})
    assert told.reason == reason
    assert part in told.message
    assert "nothing" not in told.message


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_bundle_may_name_its_certificates_in_any_letters(tmp_path: Path, encoding: str) -> None:
    """As Mozilla's does, and openssl pkcs12 with friendly names: workers take it as it is, as a file."""
    write_certificates(tmp_path)
    pem = (tmp_path / "ca.crt").read_text().strip()
    bundle = f"# M\u00fcller\n{pem}\nfriendlyName: M\u00fcller\n{pem}\n".encode(encoding)
    made = endpoint(CA, {"s": secret(k=bundle)})
    assert parse_url(made.url).options["ssl_ca_data"] == f"{pem}\n{pem}"
    spoiled = bundle.replace(b"-----\nM", "-----\n\u00fcM".encode(encoding))
    assert fault(CA, {"s": secret(k=spoiled)}).reason == "InvalidCertificate"


def test_a_key_of_another_certificate_is_told(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    chain, key = (tmp_path / "client.crt").read_bytes(), (tmp_path / "redis.key").read_bytes()
    redis = {"url": "rediss://redis", "tls": {"clientCertificate": {"secretName": "client"}}}
    told = fault(redis, {"client": secret(tls_crt=chain, tls_key=key)})
    assert told.reason == "InvalidCertificate"
    assert "tls.crt and tls.key of Secret 'client' can't be used" in told.message
    assert "the private key that belongs to it" in told.message


@pytest.mark.parametrize(
    ("spec", "mend"),
    [
        ({}, "prefix='{bull}'"),
        ({"queue": "{mails}", "deadLetter": {"queue": "graveyard"}}, "use '{mails}-dlq'"),
    ],
)
def test_a_queue_that_no_cluster_can_hold_is_told_with_the_tag_that_it_needs(spec: dict[str, Any], mend: str) -> None:
    told = fault({"cluster": {"hosts": ["n1"]}}, **spec)
    assert told.reason == "CrossSlot"
    assert told.message.startswith("spec.redis.prefix, spec.queue or spec.deadLetter.queue: ")
    assert mend in told.message
    assert endpoint({"cluster": {"hosts": ["n1"]}, "prefix": "{bull}"})
    assert endpoint({"cluster": {"hosts": ["n1"]}}, queue="{mails}")


def test_a_digest_changes_with_what_is_referred_to_and_with_nothing_else() -> None:
    redis = {"url": "redis://redis"} | PASSWORD

    def digest(uid: str = "uid-1", **data: str) -> str | None:
        return endpoint(redis, {"redis": secret(uid, **data)}).secret_digest

    assert digest(password="a") == digest(password="a", other="b") != digest(password="b")
    assert digest("uid-2", password="a") != digest(password="a"), "nobody without the Secret's uid can try passwords"
    assert endpoint({"url": "redis://redis"}).secret_digest is None
