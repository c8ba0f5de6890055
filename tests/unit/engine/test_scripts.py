"""Each Lua script is a file with a true header, a bounded length, and one typed Python call."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest
from crewline.redis import scripts
from crewline.redis.scripts import Result, Scripts, source
from crewline.wire.keys import DECLARED
from crewline.wire.options import Encoded, Shape

NAMES = sorted(
    path.name.removesuffix(".lua") for group in scripts.GROUPS for path in (files(scripts) / group).iterdir()
)


def test_there_are_scripts() -> None:
    assert len(NAMES) >= 9


@pytest.mark.parametrize("name", NAMES)
def test_the_header_names_keys_arguments_result_events_and_why(name: str) -> None:
    header = source(name).split("]]")[0]
    assert header.startswith(f"--[[ {name}: ")
    for part in ("KEYS", "ARGV", "Returns", "Events", "Why"):
        assert re.search(rf"^{part}\s", header, re.MULTILINE), f"{name}.lua's header does not say {part}"


@pytest.mark.parametrize("name", NAMES)
def test_every_include_was_put_in(name: str) -> None:
    assert "@include" not in source(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_function_that_a_script_calls_was_put_in_above(name: str) -> None:
    known = {"and", "or", "not", "if", "elseif", "return", "in", "while", "until", "function", "type", "pcall"}
    known |= {"tonumber", "tostring", "unpack", "ipairs", "pairs", "next"}
    body = re.sub(r"--\[\[.*?\]\]|--[^\n]*|'[^'\n]*'", "", source(name), flags=re.DOTALL)
    for call in re.finditer(r"(?:local function (\w+)|(?<![.:\w])(\w+)) ?\(", body):
        if call[1]:
            known.add(call[1])
        else:
            assert call[2] in known, f"{name}.lua calls {call[2]}"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "extend_leases"])
def test_each_script_has_a_typed_call_of_its_name(name: str) -> None:
    # extend_leases is called from the lease keeper's thread, through a client of its own
    call = getattr(Scripts, name)
    assert "return" in call.__annotations__


@pytest.mark.parametrize("name", NAMES)
def test_every_key_the_scripts_name_is_declared(name: str) -> None:
    declared = re.findall(r"KEYS\[(\d+)\]", source(name))
    assert sorted({int(number) for number in declared}) == list(range(1, len(DECLARED) + 1))


def test_the_strides_of_python_and_lua_agree() -> None:
    assert "tonumber(ARGV[2]) * 6" in source("add_jobs")
    assert "(#ARGV - first + 1) / 3" in source("add_jobs")
    assert len(Shape._fields) == 6
    assert len(Encoded._fields) == 3
    assert "(#ARGV - offset) / 5" in source("finish_and_fetch")
    assert len(Result("1", "t", "completed", "null").sent()) == 5
