"""A Redis URL completed by what is kept apart from it: who logs in, and the files of TLS.

A URL in a manifest or on a command line is seen by many; a password comes from a Secret, a certificate as a file. What
the URL says itself comes first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from urllib.parse import quote, urlsplit

from crewline.errors import InvalidOption
from crewline.redis.address import parse_url

#: Environment variables, and what they complete a URL by.
VARIABLES = {
    "CREWLINE_REDIS_USERNAME": "username",
    "CREWLINE_REDIS_PASSWORD": "password",
    "CREWLINE_REDIS_SENTINEL_USERNAME": "sentinel_username",
    "CREWLINE_REDIS_SENTINEL_PASSWORD": "sentinel_password",
    "CREWLINE_REDIS_CA_FILE": "ssl_ca_certs",
    "CREWLINE_REDIS_CERT_FILE": "ssl_certfile",
    "CREWLINE_REDIS_KEY_FILE": "ssl_keyfile",
}
GUARD = ("sentinel_username", "sentinel_password")
URL_VARIABLE = "CREWLINE_REDIS_URL"
DEFAULT_REDIS = "redis://localhost:6379/0"


@dataclass(frozen=True)
class Access:
    """What a URL leaves to others; '' for what nobody says.

    Attributes:
        username, password: of the Redis user. A newline at the end, as `echo` leaves one in a Secret, is cut off.
        sentinel_username, sentinel_password: of the Sentinels' own user, where they have one.
        ssl_ca_certs, ssl_certfile, ssl_keyfile: paths of PEM files.
        ssl_ca_data: the CA's certificates themselves, as PEM.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=False)
    ssl_ca_certs: str = ""
    ssl_certfile: str = ""
    ssl_keyfile: str = ""
    ssl_ca_data: str = field(default="", repr=False)


def redis_url() -> str:
    """The Redis that the environment names (CREWLINE_REDIS_URL and its like), as workers of a JobQueue have it.

    Raises InvalidOption where it can't be used.
    """
    return complete_url(os.environ.get(URL_VARIABLE) or DEFAULT_REDIS, access_from_env(os.environ))


def access_from_env(env: Mapping[str, str]) -> Access:
    """What the environment says."""
    return Access(**{name: env.get(variable, "") for variable, name in VARIABLES.items()})


def complete_url(url: str, access: Access) -> str:
    """The URL with all that it leaves out. Raises InvalidOption, as `parse_url` does, also for what does not fit it."""
    address = parse_url(url)
    said = address.options | address.guard
    if "ssl_ca_data" in said or "ssl_ca_certs" in said:
        said |= {"ssl_ca_data": "", "ssl_ca_certs": ""}
    left = {name: value.rstrip("\r\n") for name, value in asdict(access).items() if name not in said}
    # who logs in to the Sentinels is of no meaning elsewhere: one environment may serve several URLs
    fits = {name: _quoted(value) for name, value in left.items() if address.kind == "sentinel" or name not in GUARD}
    if not address.options.get("ssl") and any(fits[name] for name in fits if name.startswith("ssl_")):
        raise InvalidOption("redis URL is one without TLS, and a CA or a certificate is given: write rediss://")
    parts = urlsplit(url.strip())
    account, _, servers = parts.netloc.rpartition("@")
    user, _, password = account.partition(":")
    user, password = user or fits.pop("username", ""), password or fits.pop("password", "")
    account = f"{user}:{password}@" if password else f"{user}@" if user else ""
    more = [f"{name}={value}" for name, value in fits.items() if value and name not in ("username", "password")]
    query = "&".join(filter(None, [parts.query, *more]))
    completed = f"{parts.scheme}://{account}{servers}{parts.path}" + (f"?{query}" if query else "")
    parse_url(completed)
    return completed


def _quoted(value: str) -> str:
    try:
        return quote(value, safe="")
    except UnicodeEncodeError:
        raise InvalidOption("redis user, password or file is not UTF-8: write it in that encoding") from None
