"""A URL is completed by what is kept apart from it, and says itself what it says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from crewline import InvalidOption, redis_url
from crewline.redis.address import parse_url
from crewline.redis.completed import Access, complete_url
from hypothesis import given
from hypothesis import strategies as st

from tests.certificates import write_certificates
from tests.unit.engine.test_address import _SCHEMES

BOTH = Access(username="app", password="p@ss/1")


@pytest.mark.parametrize(
    ("url", "completed"),
    [
        ("redis://h:1/2", "redis://app:p%40ss%2F1@h:1/2"),
        ("redis://own@h", "redis://own:p%40ss%2F1@h"),
        ("redis://:own@h", "redis://app:own@h"),
        ("redis://a:b@h/", "redis://a:b@h/"),
        ("redis://h?username=a&password=b", "redis://h?username=a&password=b"),
        ("redis://h?password=b", "redis://app@h?password=b"),
        ("unix:///run/redis.sock?db=1", "unix://app:p%40ss%2F1@/run/redis.sock?db=1"),
        ("redis+cluster://a,b:7000", "redis+cluster://app:p%40ss%2F1@a,b:7000"),
    ],
)
def test_what_a_url_says_comes_first(url: str, completed: str) -> None:
    assert complete_url(url, BOTH) == completed


def test_a_url_that_nothing_completes_is_as_it_was() -> None:
    assert complete_url("redis://u:p@h:1/2?protocol=3", Access()) == "redis://u:p@h:1/2?protocol=3"


def test_a_newline_at_the_end_is_no_part_of_a_password() -> None:
    assert complete_url("redis://h", Access(password="secret\n")) == "redis://:secret@h"


def test_sentinels_own_account_is_for_sentinels() -> None:
    guarded = Access(sentinel_username="s", sentinel_password="q&")
    completed = complete_url("redis+sentinel://a,b/main/0", guarded)
    assert parse_url(completed).guard == {"sentinel_username": "s", "sentinel_password": "q&"}
    assert complete_url("redis://h", guarded) == "redis://h"
    own = "redis+sentinel://a/main?sentinel_password=own"
    assert parse_url(complete_url(own, guarded)).guard == {"sentinel_username": "s", "sentinel_password": "own"}


def test_a_ca_is_for_tls(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    ca = str(tmp_path / "ca.crt")
    given = Access(ssl_ca_certs=ca)
    assert parse_url(complete_url("rediss://h", given)).options["ssl_ca_certs"] == ca
    with pytest.raises(InvalidOption, match=r"without TLS, and a CA .*: write rediss://"):
        complete_url("redis://h", given)
    other = tmp_path / "other.crt"
    other.write_text((tmp_path / "ca.crt").read_text())
    options = parse_url(complete_url(f"rediss://h?ssl_ca_certs={other}", replace(given, ssl_ca_data="x"))).options
    assert (options["ssl_ca_certs"], options.get("ssl_ca_data")) == (str(other), None)
    data = (tmp_path / "ca.crt").read_text()
    options = parse_url(complete_url("rediss+cluster://h", Access(ssl_ca_data=data))).options
    assert options["ssl_ca_data"] == data.strip()


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(InvalidOption, match="ssl_certfile '/nope', which can't be read"):
        complete_url("rediss://h", Access(ssl_certfile="/nope"))


def test_the_environment_names_a_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREWLINE_REDIS_URL", raising=False)
    assert redis_url() == "redis://localhost:6379/0"
    monkeypatch.setenv("CREWLINE_REDIS_URL", "redis://redis:6379/3")
    monkeypatch.setenv("CREWLINE_REDIS_USERNAME", "app")
    monkeypatch.setenv("CREWLINE_REDIS_PASSWORD", "se:cret")
    assert redis_url() == "redis://app:se%3Acret@redis:6379/3"
    monkeypatch.setenv("CREWLINE_REDIS_PASSWORD", "\udcff")
    with pytest.raises(InvalidOption, match="not UTF-8"):
        redis_url()


words = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1)


@given(_SCHEMES.filter(lambda scheme: scheme[:5] in ("redis", "unix:")), words, words)
def test_any_user_and_password_is_read_as_it_was_given(scheme: str, user: str, password: str) -> None:
    url = {"redis+sentinel://": "redis+sentinel://a/main", "unix:///s": "unix:///s"}.get(scheme, f"{scheme}h")
    options = parse_url(complete_url(url, Access(username=user, password=password))).options
    assert (options["username"], options["password"]) == (user, password)
