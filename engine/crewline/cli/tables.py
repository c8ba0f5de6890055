"""Tables for people and for pipes: nothing is cut that somebody will paste, and nothing at all where a program reads.

On a terminal that is too narrow texts (data, reasons, names) are cut; where that is not enough, it wraps the line
itself, so that what is marked there stays whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from crewline.cli.printing import cell, printing

if TYPE_CHECKING:
    from rich.text import Text

#: Columns of a terminal that a text keeps at least.
LEAST = 10
#: Columns that a text gets at most where it is not cut: what is longer pushes the rest of its own line alone.
MOST_APART = 40


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes:
        title: above it.
        whole: it is never cut: ids, numbers, times.
        right: its cells end below each other.
        rare: it is left out where no row has anything in it.
    """

    title: str
    whole: bool = True
    right: bool = False
    rare: bool = False


@dataclass
class Table:
    """Rows below columns.

    Attributes:
        title: above all.
    """

    columns: Sequence[Column]
    title: str = ""
    rows: list[list[Text]] = field(default_factory=list)

    def add(self, *cells: object) -> None:
        """A row; what is no Text yet is made harmless."""
        from rich.text import Text

        self.rows.append([each if isinstance(each, Text) else cell(each) for each in cells])

    def lines(self, width: int | None) -> list[Text]:
        """As it is printed on so many columns; None for no bound."""
        from rich.text import Text

        there = [
            n for n, column in enumerate(self.columns) if not column.rare or any(row[n].plain for row in self.rows)
        ]
        columns = [self.columns[n] for n in there]
        rows = [[row[n].copy() for n in there] for row in self.rows]
        rows.insert(0, [Text(column.title, "bold") for column in columns])
        widths = self._widths(columns, rows, width)
        lines = [cell(self.title)] if self.title else []
        for row in rows:
            line = Text(" ", no_wrap=True, overflow="ignore")
            for number, (column, text) in enumerate(zip(columns, row, strict=True)):
                if width is not None:
                    text.truncate(widths[number], overflow="ellipsis")
                missing = " " * (widths[number] - text.cell_len)
                line.append(missing if column.right else "").append_text(text)
                line.append("  " if column.right else missing + "  ")
            line.rstrip()
            lines.append(line)
        return lines

    @staticmethod
    def _widths(columns: Sequence[Column], rows: list[list[Text]], width: int | None) -> list[int]:
        widths = [max(row[n].cell_len for row in rows) for n in range(len(columns))]
        if width is None:
            return [w if column.whole else min(w, MOST_APART) for w, column in zip(widths, columns, strict=True)]
        # the last ones first: they say most, and can spare most
        excess = sum(widths) + 2 * len(widths) - 1 - width
        for n in reversed(range(len(columns))):
            if excess > 0 and not columns[n].whole:
                spared = min(excess, max(widths[n] - max(LEAST, len(columns[n].title)), 0))
                widths[n] -= spared
                excess -= spared
        return widths


def draw(table: Table) -> None:
    """Prints a table; raises OutputClosed where that can't be."""
    from rich.console import Console

    console = Console(highlight=False)
    with printing():
        for line in table.lines(console.width if console.is_terminal else None):
            console.print(line, soft_wrap=True)
