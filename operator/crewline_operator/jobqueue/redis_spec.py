"""The Redis that a JobQueue names, as its workers are told of it: spec.redis as typed values. Pure.

A URL is seen by whoever may read the JobQueue or its Deployment, so that user and password stand apart from it; only
one that is kept in a Secret may hold them.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from crewline_operator.model.fields import MEND, Fields, Unreadable

SECRET, CONFIG_MAP = "Secret", "ConfigMap"
#: What a Secret of type kubernetes.io/tls holds.
CERTIFICATE_KEY, PRIVATE_KEY_KEY = "tls.crt", "tls.key"
WAYS = ("url", "urlFrom", "sentinel", "cluster")


@dataclass(frozen=True)
class KeyRef:
    """A key of a Secret or a ConfigMap in the JobQueue's namespace."""

    kind: str
    name: str
    key: str
    #: The field of the spec that names it, and what is to be in it.
    field: str
    holds: str


@dataclass(frozen=True)
class RedisSpec:
    """How a Redis is reached, and who logs in."""

    #: Without user and password; None if a Secret holds it.
    url: str | None
    #: Where it is told in the spec.
    told_at: str
    url_from: KeyRef | None = None
    username: str = ""
    password_from: KeyRef | None = None
    sentinel_username: str = ""
    sentinel_password_from: KeyRef | None = None
    tls: bool = False
    ca: KeyRef | None = None
    certificate: KeyRef | None = None
    private_key: KeyRef | None = None

    @property
    def references(self) -> tuple[KeyRef, ...]:
        """All that is kept elsewhere."""
        named = (
            self.url_from, self.password_from, self.sentinel_password_from, self.ca, self.certificate, self.private_key,
        )  # fmt: skip
        return tuple(each for each in named if each is not None)

    @property
    def files(self) -> dict[str, KeyRef]:
        """What workers need as files, by the files' names."""
        named = {"ca.crt": self.ca, CERTIFICATE_KEY: self.certificate, PRIVATE_KEY_KEY: self.private_key}
        return {name: ref for name, ref in named.items() if ref is not None}


def parse_redis(redis: Fields) -> RedisSpec:
    """What spec.redis says. Raises Unreadable."""
    ways = [way for way in WAYS if way in redis]
    if len(ways) != 1:
        raise Unreadable("InvalidSpec", f"{redis.path} has not exactly one of {', '.join(WAYS)}: {MEND}")
    (way,) = ways
    tls = redis.inner("tls")
    certificate = tls.required("clientCertificate").object_name("secretName") if "clientCertificate" in tls else None
    sentinel = redis.required("sentinel") if way == "sentinel" else None
    url = None
    if way == "url":
        url = _with_database(redis.text("url"), redis.optional_integer("database"))
    elif sentinel is not None:
        hosts, master = _hosts(sentinel), quote(sentinel.text("masterName"), safe="")
        database = redis.optional_integer("database") or 0
        url = f"{_scheme(redis)}+sentinel://{hosts}/{master}/{database}"
    elif way == "cluster":
        url = f"{_scheme(redis)}+cluster://{_hosts(redis.required('cluster'))}"
    certificate_field = f"{redis.path}.tls.clientCertificate"
    return RedisSpec(
        url=url,
        told_at=f"{redis.path}.{way}",
        url_from=_secret_key(redis, "urlFrom", "the Redis URL") if way == "urlFrom" else None,
        username=redis.optional_text("username") or "",
        password_from=_secret_key(redis, "passwordFrom", "the password"),
        sentinel_username=(sentinel.optional_text("username") or "") if sentinel is not None else "",
        sentinel_password_from=_secret_key(sentinel, "passwordFrom", "the Sentinels' password")
        if sentinel is not None
        else None,
        tls="tls" in redis,
        ca=_ca(tls.required("ca")) if "ca" in tls else None,
        certificate=KeyRef(SECRET, certificate, CERTIFICATE_KEY, certificate_field, "the certificate (PEM)")
        if certificate is not None
        else None,
        private_key=KeyRef(SECRET, certificate, PRIVATE_KEY_KEY, certificate_field, "its private key (PEM)")
        if certificate is not None
        else None,
    )


def _scheme(redis: Fields) -> str:
    return "rediss" if "tls" in redis else "redis"


def _hosts(servers: Fields) -> str:
    hosts = servers.texts("hosts")
    if not hosts:
        raise Unreadable("InvalidSpec", f"{servers.path}.hosts is missing: {MEND}")
    return ",".join(hosts)


def _with_database(url: str, database: int | None) -> str:
    return url if database is None else f"{url.rstrip('/')}/{database}"


def _secret_key(fields: Fields, name: str, holds: str) -> KeyRef | None:
    if name not in fields:
        return None
    secret = fields.required(name).required("secretKeyRef")
    return KeyRef(SECRET, secret.object_name("name"), secret.text("key"), f"{fields.path}.{name}", holds)


def _ca(ca: Fields) -> KeyRef:
    kind, name = (CONFIG_MAP, "configMapKeyRef") if "configMapKeyRef" in ca else (SECRET, "secretKeyRef")
    ref = ca.required(name)
    return KeyRef(kind, ref.object_name("name"), ref.text("key"), ca.path, "the CA's certificate (PEM)")
