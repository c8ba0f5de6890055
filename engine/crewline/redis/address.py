"""Redis URLs: taken apart, checked when an object is made, and shown without their secrets.

    redis://[user:password@]host:6379/0                one server; rediss:// for TLS
    unix:///run/redis.sock?db=0                        a socket of this machine
    redis+sentinel://host1:26379,host2:26379/name/0    the master that Sentinel calls ``name``
    redis+cluster://host1:7000,host2:7001              a cluster; the prefix or the queue's name needs a hash tag

TLS works for each (``rediss+sentinel``, ``rediss+cluster``), with ``?ssl_ca_certs=/path/ca.crt`` and its like.

redis-py would check little of it: it takes a database that is no number for 0 and what follows an unescaped ``/`` of a
password for a path, and says that it does not know an option at the first call.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from redis.asyncio.connection import SSLConnection
from redis.exceptions import RedisError

from crewline.errors import InvalidOption

T = TypeVar("T")

KINDS = ("", "sentinel", "cluster")
EXAMPLE = "write redis://host:6379/0"
ESCAPE = "escape what is not a letter or a digit in user and password: @ is %40, / is %2F, ? is %3F, # is %23, % is %25"

_scheme = re.compile(r"(redis|rediss|unix)(?:\+(\w+))?://")
_host_and_port = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\[\]:]*)(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class Address:
    """A URL, taken apart.

    Attributes:
        kind: '' for one server, ``sentinel`` or ``cluster``.
        hosts: host and port of each of several servers or Sentinels.
        service: what Sentinel calls the master.
        options: as redis-py takes them: user, password, database, TLS settings; one server's host and port, or path.
        guard: user and password of the Sentinels themselves, with the names that they have in the URL.
    """

    kind: str
    hosts: tuple[tuple[str, int], ...]
    service: str
    options: dict[str, Any] = field(repr=False)
    guard: dict[str, Any] = field(default_factory=dict, repr=False)


def parse_url(url: str) -> Address:
    """Takes a URL apart; raises InvalidOption, which never shows user or password."""
    scheme, kind, parts = _split(url)
    options = _read_query(parts.query, kind, tls=scheme == "rediss")
    guard = {name: options.pop(name) for name in _guard_readers if name in options}
    if scheme == "rediss":
        _check_tls(tuple(sorted((name, value) for name, value in options.items() if name.startswith("ssl_"))))
        options["ssl"] = True
    account, at, listed = parts.netloc.rpartition("@")
    if at:
        user, _, password = account.partition(":")
        told = {"username": unquote(user), "password": unquote(password)}
        options |= {name: value for name, value in told.items() if value}
    if scheme == "unix":
        if listed or len(parts.path) < 2:
            _refuse("names no socket", "write unix:///path/of/the.sock, with three slashes")
        return Address("", (), "", {**options, "unix_socket_path": unquote(parts.path)})
    path = [unquote(part) for part in parts.path.split("/") if part]
    service = ""
    if kind == "sentinel":
        if not path:
            _refuse("does not say the master's name", "write redis+sentinel://host:26379/NAME/0")
        service = path.pop(0)
    if kind == "cluster" and path not in ([], ["0"]):
        _refuse("names a database, and a Redis Cluster has one database only", "leave the path out")
    if kind != "cluster":
        if len(path) > 1 or not all(re.fullmatch("[0-9]{1,9}", part) for part in path):
            _refuse("names a database that is not a number", EXAMPLE)
        options.setdefault("db", int(path[0]) if path else 0)
    servers = listed.split(",")
    if not kind and len(servers) > 1:
        _refuse("names several servers", "write redis+sentinel:// or redis+cluster:// for those")
    if kind and not all(servers):
        _refuse("names no server, or an empty one", f"write redis+{kind}://host1:26379,host2:26379")
    hosts = tuple(_read_host(each, kind) for each in servers)
    if not kind:
        (options["host"], options["port"]), hosts = hosts[0], ()
    return Address(kind, hosts, service, options, guard)


def redact(text: str) -> str:
    """A URL, or a text with some, without users and passwords, for logs and messages.

    Whatever stands before the last ``@`` of a URL is left out: an unescaped password may hold anything.
    """
    return "".join(map(_without_account, re.split(r"(?=(?:rediss?|unix)(?:\+\w+)?://)", text)))


def _without_account(text: str) -> str:
    text = re.sub(r"([?&](?:sentinel_)?(?:username|password|ssl_password)=)[^&\s]*", r"\1***", text)
    return re.sub(r"(?s)^([a-zA-Z][\w+.-]*://)?.*@", r"\1", text)


def _split(url: str) -> tuple[str, str, SplitResult]:
    """The scheme, what is behind it (one of KINDS), and the URL's parts."""
    url = url.strip()
    found = _scheme.match(url.lower())
    kind = (found[2] or "") if found else ""
    if found is None or kind not in KINDS or (kind and found[1] == "unix"):
        said = re.match(r"[\w+.-]+://", url)
        _refuse(
            f"begins with {said[0]!r}" if said else "has no scheme",
            f"{EXAMPLE}, rediss:// for TLS, unix:// for a socket, redis+sentinel:// or redis+cluster://",
        )
    try:
        url.encode()
        parts = urlsplit(url)
    except ValueError:
        # its text would show what it took for a host
        _refuse("can't be taken apart", f"{EXAMPLE}, in UTF-8, and {ESCAPE}")
    if "@" in parts.path or "@" in parts.query or "@" in parts.fragment or parts.fragment:
        _refuse("has '@' or '#' where none can be", ESCAPE)
    if any(ord(character) < 33 for character in url):
        _refuse("has a space or a control character in it", ESCAPE)
    return found[1], kind, parts


def _read_host(text: str, kind: str) -> tuple[str, int]:
    found = _host_and_port.fullmatch(text)
    port = int((found and found[2]) or (26379 if kind == "sentinel" else 6379))
    host = unquote(found[1].strip("[]")) if found else ""
    try:
        # as its address is asked for
        host.encode("idna")
    except UnicodeError:
        found = None
    if found is None or not 0 < port < 65536:
        # not what was found there: it may be a password, of a URL that has no host
        _refuse("has a server that is no host:port", f"{EXAMPLE}, the port from 1 to 65535")
    return host or "localhost", port


def _read_number(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text):
        raise ValueError("it is a whole number")
    return int(text)


def _read_truth(text: str) -> bool:
    return _one_of({"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False})(text.lower())


def _one_of(allowed: Mapping[str, T]) -> Callable[[str], T]:
    def read(text: str) -> T:
        if text not in allowed:
            raise ValueError(f"it is one of {', '.join(allowed)}")
        return allowed[text]

    return read


#: What may stand behind a URL's ``?``, and what reads it. Times, pools, retries, decoding, names and health checks are
#: the engine's own to set: a bound of another length, say, would end each of its blocked reads.
_readers: Mapping[str, Callable[[str], Any]] = {
    "db": _read_number, "username": str, "password": str, "protocol": _one_of({"2": 2, "3": 3}),
}  # fmt: skip
_tls_readers: Mapping[str, Callable[[str], Any]] = {
    "ssl_ca_certs": str, "ssl_ca_data": str, "ssl_certfile": str, "ssl_keyfile": str,
    "ssl_cert_reqs": _one_of({each: each for each in ("required", "optional", "none")}),
    "ssl_check_hostname": _read_truth,
}  # fmt: skip
#: Who logs in to the Sentinels themselves: they know no users of the master's.
_guard_readers: Mapping[str, Callable[[str], Any]] = {"sentinel_username": str, "sentinel_password": str}
#: ... which redis-py's clients of a cluster do not all take.
_more_tls_readers: Mapping[str, Callable[[str], Any]] = {
    "ssl_ca_path": str, "ssl_password": str, "ssl_ciphers": str, "ssl_min_version": _read_number,
}  # fmt: skip


def _read_query(query: str, kind: str, *, tls: bool) -> dict[str, Any]:
    cluster = kind == "cluster"
    readers = {**_readers, **(_tls_readers if tls else {}), **(_more_tls_readers if tls and not cluster else {})}
    if cluster:
        del readers["db"]
    if kind == "sentinel":
        readers |= _guard_readers
    options: dict[str, Any] = {}
    pairs = parse_qsl(query, keep_blank_values=True)
    for name, value in pairs:
        if name not in readers:
            # a password with an unescaped '&' in it goes on in what looks like an option
            told = "an option" if any("password" in each for each, _ in pairs) else f"option {name!r}"
            mend = f"use {', '.join(readers)}"
            if name.startswith("ssl_") and not tls:
                mend = "write rediss:// for TLS"
            _refuse(f"has {told} that can't be said there", mend)
        try:
            options[name] = readers[name](value)
        except ValueError as error:
            _refuse(f"has {name} {value!r}", str(error))
    return options


@lru_cache(maxsize=64)
def _check_tls(options: tuple[tuple[str, Any], ...]) -> None:
    """Raises InvalidOption if no connection could ever be made with these files and settings."""
    for name, value in options:
        if name in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
            try:
                Path(value).read_bytes()
            except (OSError, ValueError) as error:
                _refuse(f"has {name} {value!r}, which can't be read", str(getattr(error, "strerror", None) or error))
    try:
        SSLConnection(**dict(options)).ssl_context.get()
    except (OSError, ValueError, TypeError, RedisError) as error:
        _refuse("has TLS settings that can't be used", f"check its ssl_ options: {error}")


def _refuse(what: str, mend: str) -> NoReturn:
    raise InvalidOption(f"redis URL {what}: {mend}") from None
