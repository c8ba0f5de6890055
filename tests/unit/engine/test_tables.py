"""Tables on narrow terminals, on wide ones, and for pipes."""

from __future__ import annotations

import pytest
from crewline.cli.tables import Column, Table

ID = "0191f5c2-5c1e-7aaf-b8b1-3d2f7cb0e6a4"
DATA = '{"to": "somebody.with.a.long.name@example.com", "template": "welcome", "language": "de"}'
COLUMNS = [
    Column("id"), Column("name", whole=False), Column("added"), Column("tries", right=True),
    Column("progress", rare=True), Column("data", whole=False),
]  # fmt: skip


def table(name: str = "welcome", progress: str = "") -> Table:
    made = Table(COLUMNS)
    made.add(ID, name, "2026-11-29 12:15:48Z", 12, progress, DATA)
    made.add("7", "n", "2026-11-29 12:15:48Z", 3, "", "1\n2")
    return made


def lines(made: Table, width: int | None) -> list[str]:
    return [line.plain for line in made.lines(width)]


@pytest.mark.parametrize("width", [90, 120, 200])
def test_a_terminal_gets_what_fits_and_every_id_whole(width: int) -> None:
    header, first, second = lines(table(), width)
    assert max(map(len, (header, first, second))) <= width
    assert first.startswith(f" {ID}  welcome  2026-11-29 12:15:48Z     12  ")
    assert first.endswith("…") == (width < 200) and first.endswith("}") == (width == 200)
    assert second.endswith("12:15:48Z      3  1"), "a cell is its text's first line"


def test_names_give_way_to_ids_on_a_narrow_one() -> None:
    _, first, _ = lines(table(name="a-name-that-is-far-too-long-for-a-terminal"), 90)
    assert f" {ID}  a-name-th…  2026-11-29 12:15:48Z " in first


def test_one_that_is_too_narrow_for_what_stays_whole_wraps_the_line_itself() -> None:
    _, first, _ = lines(table(), 80)
    assert first.startswith(f" {ID}  welcome  2026-11-29 12:15:48Z     12  ") and len(first) == 87


@pytest.mark.parametrize("name", ["welcome", "n" * 300])
def test_a_pipe_gets_all_of_it_and_a_long_text_moves_no_other_row(name: str) -> None:
    header, first, second = lines(table(name=name), None)
    assert f"  {name}  " in first and first.endswith(DATA)
    assert len(header) < 120 and len(second) < 120 and not second.endswith(" ")


def test_what_no_row_has_is_no_column() -> None:
    assert "progress" not in lines(table(), 120)[0]
    assert "progress" in lines(table(progress="50"), 120)[0]


def test_wide_letters_are_as_wide_as_a_terminal_shows_them() -> None:
    _, first, second = lines(table(name="日本"), None)
    assert first.index("2026") == second.index("2026") - 2
