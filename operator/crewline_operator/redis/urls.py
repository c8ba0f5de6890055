"""A Redis as a URL names it.

Messages of urllib and of the engine are not passed on, since they may quote parts of the URL: of a password.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import parse_qsl, quote, urlsplit

from crewline.errors import InvalidOption
from crewline.redis.address import Address, parse_url
from crewline.redis.completed import Access, complete_url

from crewline_operator.model.fault import Fault
from crewline_operator.redis.endpoint import Endpoint

INVALID = "InvalidRedisURL"
#: Options that name files. A tenant's URL must not have the operator read one of its own.
FILES = {"ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile"}
#: Those that are not read of a URL by other means.
KEPT = ("protocol", "sentinel_username", "sentinel_password")


def parse_redis_url(url: str, namespace: str, where: str, access: Access = Access()) -> Endpoint | Fault:  # noqa: B008
    """Check a URL, complete it, and make its hosts such that the operator's pod can resolve them too.

    `where` names it in messages.
    """
    invalid = Fault(
        INVALID,
        f"{where} is not a Redis URL: write redis://[user:password@]host:6379/0, with %23 for #, %3F for ?, %2F for / "
        "and %40 for @ in user and password",
    )
    try:
        if FILES & {name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)}:
            return Fault(
                INVALID,
                f"{where} names a file of TLS, which only workers may have: take it out, and name the CA or the "
                "client's certificate in spec.redis.tls",
            )
        # as workers read it: what they would refuse is told here
        address = parse_url(url)
        if access.ssl_ca_data and not address.options.get("ssl"):
            return without_tls(where)
        address = parse_url(complete_url(url, access))
    except (ValueError, InvalidOption):
        return invalid
    if "unix_socket_path" in address.options or _has_no_host(url):
        return invalid
    return _endpoint(address, namespace)


def without_tls(where: str) -> Fault:
    """What to say of a URL that contradicts spec.redis.tls."""
    return Fault(
        INVALID, f"{where} is one without TLS, and spec.redis.tls is given: write rediss://, or remove spec.redis.tls"
    )


def _endpoint(address: Address, namespace: str) -> Endpoint:
    options = address.options
    listed = address.hosts or ((options["host"], options["port"]),)
    hosts = ",".join(f"{_bracketed(_qualified(host, namespace))}:{port}" for host, port in listed)
    user, password = (quote(options.get(name, ""), safe="") for name in ("username", "password"))
    account = f"{user}:{password}@" if password else f"{user}@" if user else ""
    scheme = "rediss" if options.get("ssl") else "redis"
    said = options | address.guard
    more = {name: value for name, value in said.items() if name.startswith("ssl_") or name in KEPT}
    query = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in sorted(more.items()))
    if address.kind == "cluster":
        scheme, path, shown = f"{scheme}+cluster", "", f"{scheme}+cluster://{hosts}"
    elif address.kind == "sentinel":
        path = f"/{quote(address.service, safe='')}/{options['db']}"
        scheme, shown = f"{scheme}+sentinel", f"{scheme}+sentinel://{hosts}{path}"
    else:
        path = f"/{options['db']}"
        shown = f"{hosts}{path}"
    return Endpoint(f"{scheme}://{account}{hosts}{path}" + (f"?{query}" if query else ""), shown)


def _has_no_host(url: str) -> bool:
    # To workers that is this machine; the operator's pod has no Redis.
    servers = urlsplit(url.strip()).netloc.rpartition("@")[2].split(",")
    return any(not server.rpartition(":")[0] if ":" in server else not server for server in servers)


def _qualified(host: str, namespace: str) -> str:
    # A worker resolves a bare Service name in its own namespace; the operator runs in another one.
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host if "." in host or host == "localhost" else f"{host}.{namespace}.svc"
    return host


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
