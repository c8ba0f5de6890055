"""A recorded load: a CSV file with a line for jobs that came at a moment."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

COLUMNS = ("time", "jobs", "service_seconds")
#: Each job is played on its own.
JOBS_MAX = 5_000_000
SERVICE_SECONDS = 1.0
#: Eleven days: a job that runs longer is played in no time that one would wait for.
SERVICE_MAX_SECONDS = 1e6


class TraceError(Exception):
    """A trace that can't be read: which line, which column, and what is to be there."""


@dataclass(frozen=True)
class Arrival:
    """Jobs that come at one moment, each of which runs for `service_seconds`. The first moment is 0."""

    time: float
    jobs: int
    service_seconds: float


def read_trace(name: str, lines: Iterable[str], service_seconds: float = SERVICE_SECONDS) -> list[Arrival]:
    """The arrivals of a trace, in the order of time. `service_seconds` is of those that do not tell. Raises TraceError.

    Args:
        name: what the file is called in errors.
        lines: the file, with a header that names the columns (`COLUMNS`): `time` in seconds, and optional ones.
    """
    rows = csv.reader(lines, strict=True)
    try:
        header = [column.strip() for column in next(rows, [])]
    except csv.Error as error:
        raise TraceError(f"{name}, line 1: {error}") from None
    _check_header(name, header)
    arrivals: list[Arrival] = []
    try:
        for row in rows:
            if not any(cell.strip() for cell in row):
                continue
            where = f"{name}, line {rows.line_num}"
            arrival = _arrival(where, dict(zip(header, row, strict=False)), len(row), len(header), service_seconds)
            if arrivals and arrival.time < arrivals[-1].time:
                raise TraceError(
                    f"{where}, column time: {arrival.time:g} is before {arrivals[-1].time:g} of the line above: "
                    "sort the lines by time"
                )
            arrivals.append(arrival)
    except csv.Error as error:
        raise TraceError(f"{name}, line {rows.line_num}: {error}") from None
    total = sum(arrival.jobs for arrival in arrivals)
    if total == 0:
        raise TraceError(f"{name}: there is no job in it: add lines such as 0.5,10 below the header")
    if total > JOBS_MAX:
        raise TraceError(f"{name}: {total} jobs are more than the {JOBS_MAX} that are played: cut a shorter time out")
    begun = arrivals[0].time
    return [replace(arrival, time=arrival.time - begun) for arrival in arrivals]


def spread(arrivals: list[Arrival]) -> Iterator[Arrival]:
    """The jobs of each line one by one, evenly until the next line: for a trace that counts jobs a minute or so.

    The last line is taken for as long as the one before it.
    """
    gap = 0.0
    for at, arrival in enumerate(arrivals):
        if at + 1 < len(arrivals):
            gap = arrivals[at + 1].time - arrival.time
        for number in range(arrival.jobs):
            yield Arrival(arrival.time + gap * number / arrival.jobs, 1, arrival.service_seconds)


def _check_header(name: str, header: list[str]) -> None:
    known = ", ".join(COLUMNS)
    if "time" not in header:
        raise TraceError(f"{name}, line 1: there is no column time: begin the file with a header, such as {known}")
    for column in header:
        if column not in COLUMNS:
            raise TraceError(f"{name}, line 1: column {column!r} is not known: there are {known}")
        if header.count(column) > 1:
            raise TraceError(f"{name}, line 1: column {column} is there twice: remove one")


def _arrival(where: str, row: dict[str, str], cells: int, columns: int, service_seconds: float) -> Arrival:
    if cells != columns:
        raise TraceError(f"{where}: {cells} values for {columns} columns: give each column its value")
    time = _number(f"{where}, column time", row["time"], "seconds from 0 on")
    jobs = _number(f"{where}, column jobs", row.get("jobs") or "1", "a whole number from 0 on")
    if jobs != int(jobs):
        raise TraceError(f"{where}, column jobs: {row['jobs']!r} is not a whole number from 0 on")
    told = row.get("service_seconds", "").strip()
    what = f"seconds from 0 to {SERVICE_MAX_SECONDS:.0f}"
    service = service_seconds
    if told:
        service = _number(f"{where}, column service_seconds", told, what, SERVICE_MAX_SECONDS)
    return Arrival(time, int(jobs), service)


def _number(where: str, text: str, what: str, most: float = 1e12) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and 0 <= value <= most):
        raise TraceError(f"{where}: {text.strip()[:40]!r} is not {what}")
    return value
