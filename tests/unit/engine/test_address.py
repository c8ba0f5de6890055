"""Redis URLs: one that can't be used is refused when an object is made, and no message shows a user or a password."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from crewline import InvalidOption, JobQueue, Queue, Worker, sync
from crewline.redis.address import Address, parse_url, redact
from crewline.worker.processes.messages import Where
from hypothesis import given, settings
from hypothesis import strategies as st

ESCAPE = "@ is %40"
REFUSED = [
    ("", "no scheme"), ("foo", "no scheme"), ("localhost:6379", "no scheme"), ("redis:/h", "no scheme"),
    ("http://h", r"begins with 'http://'.*redis://host:6379/0"), ("redis+foo://h", r"begins with 'redis\+foo://'"),
    ("unix+sentinel://h", "begins with"), ("redis://h:port/0", "no host:port"), ("redis://h:", "no host:port"),
    ("redis://h:0", "from 1 to 65535"), ("redis://h:65536", "from 1 to 65535"), ("redis://h:²", "no host:port"),
    ("redis://a..b", "no host:port"), ("redis://" + "x" * 64, "no host:port"), ("redis://[::1", "taken apart"),
    ("redis://h\u2100", "taken apart"), ("redis://h\udcff", "in UTF-8"), ("redis://h t:1", "space"),
    ("redis://h\0:1", "control character"), ("redis://a,b", "several servers"), ("redis://h/abc", "not a number"),
    ("redis://h/-1", "not a number"), ("redis://h/0/1", "not a number"), ("redis://h?db=x", "db 'x'.* whole number"),
    ("redis://h?foo=1", "option 'foo'.* use db, "), ("redis://h?socket_timeout=1", "option 'socket_timeout'"),
    ("redis://h?decode_responses=true", "option 'decode_responses'"), ("redis://h?client_name=x", "'client_name'"),
    ("redis://h?health_check_interval=1", "health_check_interval"), ("redis://h?protocol=9", "one of 2, 3"),
    ("redis://h?ssl_ca_certs=/x", "rediss://"), ("rediss://h?ssl_ca_certs=/nope", "'/nope', which can't be read"),
    ("rediss://h?ssl_certfile=/nope", "ssl_certfile"), ("rediss://h?ssl_cert_reqs=some", "required, optional, none"),
    ("rediss://h?ssl_check_hostname=maybe", "true, yes"), ("rediss://h?ssl_min_version=1", "ssl_ options"),
    ("rediss://h?ssl_ciphers=none-such", "ssl_ options"), ("unix://", "three slashes"), ("unix:///", "three slashes"),
    ("unix://tmp/x", "three slashes"), ("unix:///x?foo=1", "option 'foo'"), ("redis+sentinel://h", "master's name"),
    ("redis+sentinel:///m", "no server"), ("redis+sentinel://h,/m", "empty one"), ("redis+sentinel://h/m/x", "number"),
    ("redis+sentinel://h:²/m", "no host:port"), ("redis+sentinel://h/m?foo=1", "'foo'"), ("redis+cluster://", "server"),
    ("redis+cluster://h/3", "one database"), ("redis+cluster://h:x", "no host:port"),
    ("redis+cluster://h?db=1", "option 'db'"),
    ("rediss+cluster://h?ssl_password=x", "an option that"), ("redis://h/0#x", ESCAPE),
]  # fmt: skip


@pytest.mark.parametrize(("url", "said"), REFUSED)
def test_a_url_that_cant_be_used_is_refused_in_one_line_that_says_what_to_write(url: str, said: str) -> None:
    with pytest.raises(InvalidOption, match=f"^redis URL .*{said}") as refused:
        Queue("emails", redis=url, prefix="{bull}")
    assert "\n" not in str(refused.value) and ": " in str(refused.value)
    with pytest.raises(InvalidOption, match=r"^redis URL"):
        Worker("emails", print, redis=url, prefix="{bull}")
    with pytest.raises(InvalidOption, match=r"^redis URL"):
        sync.Queue("emails", redis=url, prefix="{bull}")


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://", {"host": "localhost", "port": 6379, "db": 0}),
        ("REDIS://h:1/2/\n", {"host": "h", "port": 1, "db": 2}),
        ("redis://u:p%40%2F%23@[::1]:1", {"username": "u", "password": "p@/#", "host": "::1", "port": 1, "db": 0}),
        ("redis://:p@ss@h?db=3", {"password": "p@ss", "host": "h", "port": 6379, "db": 3}),
        ("redis://h?username=u&password=a%26b&protocol=2",
         {"username": "u", "password": "a&b", "protocol": 2, "host": "h", "port": 6379, "db": 0}),
        ("unix://u:p@/run/r%20s?db=4", {"unix_socket_path": "/run/r s", "username": "u", "password": "p", "db": 4}),
        ("rediss://h?ssl_cert_reqs=none&ssl_check_hostname=false",
         {"host": "h", "port": 6379, "db": 0, "ssl": True, "ssl_cert_reqs": "none", "ssl_check_hostname": False}),
    ],
)  # fmt: skip
def test_a_url_of_one_server_is_what_it_says(url: str, options: dict[str, Any]) -> None:
    assert parse_url(url) == Address("", (), "", options)


def test_a_url_of_several_servers_is_what_it_says() -> None:
    found = parse_url("redis+sentinel://:p@a:1,[::2],b/main/3")
    assert (found.hosts, found.service) == ((("a", 1), ("::2", 26379), ("b", 26379)), "main")
    assert found.options == {"password": "p", "db": 3}
    assert parse_url("redis+cluster://a,b:7000/0").hosts == (("a", 6379), ("b", 7000))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://u:se/cret@h:1/0", "redis://h:1/0"), ("redis://u:se@cret@h/0", "redis://h/0"),
        ("redis://u:se#cret@h", "redis://h"), ("redis://u:se?cret@h?db=1", "redis://h?db=1"),
        ("redis://u:se%40cret@h", "redis://h"), ("redis://u:se cret@h", "redis://h"), ("u:secret@h", "h"),
        ("other://u:secret@h", "other://h"), ("rediss+sentinel://u:se/cret@a,b/m/0", "rediss+sentinel://a,b/m/0"),
        ("redis+cluster://:secret@a,b", "redis+cluster://a,b"), ("unix://u:secret@/run/x?db=1", "unix:///run/x?db=1"),
        ("unix:///x?db=1&password=se@cret&username=secret", "unix:///x?db=1&password=***&username=***"),
        ("rediss://h?ssl_password=secret", "rediss://h?ssl_password=***"),
        ("from redis://u:secret@a/0 to rediss://:sec/ret@b, or unix://:secret@/c",
         "from redis://a/0 to rediss://b, or unix:///c"),
        ("redis://h:1/0", "redis://h:1/0"),
    ],
)  # fmt: skip
def test_a_url_is_shown_without_user_and_password(text: str, shown: str) -> None:
    assert redact(text) == shown


secrets = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1).map(lambda text: f"<{text}>")
_SCHEMES = st.sampled_from(["redis://", "rediss://", "unix:///s", "redis+sentinel://", "redis+cluster://", "x://", ""])


@settings(deadline=None)
@given(_SCHEMES, secrets, secrets)
def test_nothing_of_a_password_is_shown_whatever_it_holds(scheme: str, user: str, password: str) -> None:
    url = f"{scheme}{user}:{password}@localhost:1/0"
    assert "<" not in redact(url)
    assert "<" not in _told(url)


def _told(url: str) -> str:
    try:
        return repr(parse_url(url))
    except InvalidOption as error:
        return str(error)


@pytest.mark.parametrize(
    "password", ["se/cret", "12/secret", "se?cret", "se#cret", "se[cret", "se cret", "\udcffsecret"]
)
def test_a_password_that_is_not_escaped_is_refused_and_not_shown(
    password: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(InvalidOption, match=ESCAPE) as refused:
        Queue("emails", redis=f"redis://user:{password}@localhost:1/0")
    assert "cret" not in str(refused.value) + caplog.text


def test_no_object_shows_the_password_of_its_url() -> None:
    url = "redis://user:secret@localhost:1/0"
    queue = Queue("emails", redis=url)
    others = [kind("emails", redis=url) for kind in (sync.Queue, JobQueue)]
    for made in (queue, queue.redis, Worker("emails", print, redis=url), *others):
        assert "secret" not in repr(made)
    assert repr(Where(url, "bull", "emails", 1.0, 30_000)) == "Where('redis://localhost:1/0', 'bull', 'emails')"


def test_files_of_tls_are_looked_at_when_the_object_is_made(tmp_path: Path) -> None:
    broken = tmp_path / "ca.crt"
    broken.write_text("no certificate")
    with pytest.raises(InvalidOption, match="TLS settings"):
        Queue("emails", redis=f"rediss://h?ssl_ca_certs={broken}")


def test_sentinels_have_a_user_of_their_own() -> None:
    found = parse_url("redis+sentinel://u:p@a/main?sentinel_username=s&sentinel_password=q%26")
    assert (found.options, found.guard) == (
        {"username": "u", "password": "p", "db": 0},
        {"sentinel_username": "s", "sentinel_password": "q&"},
    )
    assert "sentinel_password=***" in redact("redis+sentinel://a/main?sentinel_password=secret")
    with pytest.raises(InvalidOption, match="option 'sentinel_username'"):
        parse_url("redis://h?sentinel_username=s")
