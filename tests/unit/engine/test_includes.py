"""Each script and each piece includes what it uses, and nothing else: none breaks when another's includes change."""

from __future__ import annotations

import pytest
from crewline.redis.scripts import source

from tests.unit.engine.lua_includes import FIRST, included, lacking, needless, texts_of_pieces, texts_of_scripts
from tests.unit.engine.test_scripts import NAMES

PIECES, SCRIPTS = texts_of_pieces(), texts_of_scripts()
TEXTS = {f"lib/{name}": text for name, text in PIECES.items()} | SCRIPTS


@pytest.mark.parametrize("name", TEXTS)
def test_what_a_text_uses_it_makes_or_includes_itself(name: str) -> None:
    assert lacking(TEXTS[name], PIECES) == []


@pytest.mark.parametrize("name", TEXTS)
def test_what_a_text_includes_it_uses(name: str) -> None:
    assert [each for each in needless(TEXTS[name], PIECES) if each != FIRST] == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_begins_with_the_queues_keys(name: str) -> None:
    assert included(SCRIPTS[name])[0] == FIRST


def test_every_piece_is_included() -> None:
    assert set(PIECES) == {each for text in TEXTS.values() for each in included(text)}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noted", ["local clock =", "local refusals\n", "local taken =", "local freed ="])
def test_what_a_call_notes_it_notes_in_one_place(name: str, noted: str) -> None:
    assert source(name).count(noted) <= 1


def test_a_name_that_only_an_include_of_an_include_makes_is_found() -> None:
    text = TEXTS["change/retry_job"]
    assert lacking(text.replace("-- @include place/wake_worker\n", ""), PIECES) == ["wake_worker"]


def test_an_include_of_which_nothing_is_used_is_found() -> None:
    text = TEXTS["change/retry_job"]
    assert needless(text.replace("wake_worker(q)\n", ""), PIECES) == ["place/wake_worker"]
