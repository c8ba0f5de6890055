"""Each Lua script is a file with a true header, and touches only keys that it declares or could not have declared."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from crewline.redis import scripts
from crewline.redis.scripts import Result, source
from crewline.wire.keys import DECLARED
from crewline.wire.options import Encoded, Shape

from tests.unit.engine.headers import Arguments
from tests.unit.engine.lua_keys import undeclared
from tests.unit.engine.lua_names import unmade

NAMES = sorted(
    path.name.removesuffix(".lua") for group in scripts.GROUPS for path in (files(scripts) / group).iterdir()
)


def test_there_are_scripts() -> None:
    assert len(NAMES) >= 9


@pytest.mark.parametrize("name", NAMES)
def test_the_header_names_keys_arguments_result_events_bound_and_why(name: str) -> None:
    header = source(name).split("]]")[0]
    assert header.startswith(f"--[[ {name}: ")
    for part in ("KEYS", "ARGV", "Returns", "Events", "Bound", "Why"):
        assert re.search(rf"^{part}\s", header, re.MULTILINE), f"{name}.lua's header does not say {part}"


@pytest.mark.parametrize("name", NAMES)
def test_every_include_was_put_in(name: str) -> None:
    assert "@include" not in source(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_name_that_a_script_uses_was_made_above_in_its_block_or_around_it(name: str) -> None:
    assert list(unmade(source(name))) == []


def test_a_name_that_only_another_block_knows_is_found() -> None:
    text = source("finish_and_fetch")
    assert "other_ways().hand_back(" in text
    assert list(unmade(text.replace("other_ways().hand_back(", "hand_back("))) == ["hand_back"]


def test_a_local_that_hides_a_function_from_what_is_included_below_is_found() -> None:
    text = source("add_jobs")
    assert "local counted_as =" in text
    assert "number hides a function" in unmade(text.replace("local counted_as =", "local number ="))


def test_what_an_indented_include_puts_in_is_put_in_again_where_others_need_it() -> None:
    assert source("finish_and_fetch").count("local function forget_jobs(") > 1
    assert source("obliterate_queue").count("local function forget_jobs(") == 1


@pytest.mark.parametrize("name", NAMES)
def test_keys_are_named_in_the_order_in_which_they_are_declared(name: str) -> None:
    numbers = re.findall(r"KEYS\[(\d+)\]", source(name))
    assert [int(number) for number in numbers] == list(range(1, len(DECLARED) + 1))


@pytest.mark.parametrize("name", NAMES)
def test_every_key_that_could_be_declared_is(name: str) -> None:
    assert undeclared(source(name), Arguments.of(name).told) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "told"),
    [
        ("pause_queue", "q.marker", "base .. 'marker'", "base .. 'marker' is a key to declare"),
        ("pause_queue", "q.marker", "q.base .. 'marker'", "base .. 'marker' is a key to declare"),
        ("pause_queue", "q.marker", "base .. 'repeat-marker'", "base .. 'repeat-marker' is a key to declare"),
        ("pause_queue", "q.marker", "base .. 'de:'", "base .. 'de:' is a key to declare"),
        ("pause_queue", "q.marker", "base .. mark", "no reader can tell that mark is the id of a job"),
        ("pause_queue", "q.marker", "q.markers", "q.markers is no key of lib/keys.lua"),
        ("pause_queue", "q.marker", "'bull:emails:marker'", "'bull:emails:marker' is a key of its own making"),
        ("pause_queue", "'DEL', q.marker", "'DEL', q.meta, 'marker'", "'marker' is a key of its own making"),
        ("mark_alone", "':lock'", "':owner'", "':owner' is no key that a job has"),
        ("mark_alone", "local job = base .. ARGV[2]", "local job = ARGV[2]", "job: the header does not say of"),
        ("beat", "'ZADD', ARGV[2]", "'ZADD', ARGV[6]", "ARGV[6]: the header does not say of argument 6"),
        ("clean_jobs", "source = base .. state", "source = base .. place", "no reader can tell that place is the id"),
        ("add_flow", "extra.parentKey) ==", "extra.parent) ==", "extra.parent is no key of lib/keys.lua"),
        ("add_flow", "extra.parentKey) ==", "child.parentKey) ==", "child.parentKey is no key of lib/keys.lua"),
        ("add_flow", "'waiting-children'", "'waiting-for-children'", "queue_at names 'waiting-for-children'"),
    ],
)  # fmt: skip
def test_a_key_that_is_not_declared_is_found(name: str, old: str, new: str, told: str) -> None:
    assert old in source(name)
    found = undeclared(source(name).replace(old, new, 1), Arguments.of(name).told)
    assert found
    assert all(told in each for each in found)


def test_a_state_that_is_no_declared_key_is_found() -> None:
    told = Arguments.of("clean_jobs").told
    (found,) = undeclared(source("clean_jobs"), told | {2: told[2].replace("failed", "failed, lost")})
    assert "base .. state" in found


def test_the_strides_of_python_and_lua_agree() -> None:
    assert "tonumber(ARGV[2]) * 6" in source("add_jobs")
    assert "(#ARGV - first + 1) / 3" in source("add_jobs")
    assert len(Shape._fields) == 6
    assert len(Encoded._fields) == 3
    assert "(#ARGV - offset) / 5" in source("finish_and_fetch")
    assert len(Result("1", "t", "completed", "null").sent()) == 5
