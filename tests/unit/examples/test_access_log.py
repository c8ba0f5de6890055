"""The access-log example: its input is what the script makes, its handler counts right, its check can fail."""

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.example_code import load
from tools.demo import answer
from tools.demo.install import EXAMPLE

BROKEN = {"chunk-017", "chunk-042", "chunk-073"}


class RecordingJob:
    """Stands where a worker would put the job: keeps what the handler reports."""

    def __init__(self, chunk: Path) -> None:
        self.data = {"chunk": chunk.stem, "text": chunk.read_text()}
        self.reported: list[Any] = []

    async def progress(self, value: Any) -> None:
        self.reported.append(value)

    async def log(self, text: str) -> None:
        pass


@pytest.fixture(scope="module")
def chunks() -> list[Path]:
    return sorted((EXAMPLE / "log").glob("*.log"))


@pytest.fixture(scope="module")
def handlers() -> ModuleType:
    return load("handlers")


def test_the_log_in_the_repository_is_what_the_script_writes(chunks: list[Path]) -> None:
    made = dict(load("make_log").chunks())
    assert {chunk.name: chunk.read_text() for chunk in chunks} == made


def test_the_log_is_plain_text_in_chunks_that_fit_a_job(chunks: list[Path]) -> None:
    assert len(chunks) == 100
    assert sum(len(chunk.read_text(encoding="ascii").splitlines()) for chunk in chunks) == 50_000
    assert max(chunk.stat().st_size for chunk in chunks) < 60_000
    assert not any(b"\0" in chunk.read_bytes() for chunk in chunks)


async def test_the_handler_and_the_direct_count_agree_on_every_chunk(chunks: list[Path], handlers: ModuleType) -> None:
    values, dead = [], []
    for chunk in chunks:
        try:
            values.append(await handlers.count(RecordingJob(chunk)))
        except ValueError:
            dead.append(chunk.stem)
    assert set(dead) == BROKEN
    assert answer.differences(answer.from_jobs(values, dead), answer.from_files(chunks)) == []


async def test_a_broken_line_is_named_in_the_reason(chunks: list[Path], handlers: ModuleType) -> None:
    with pytest.raises(ValueError, match="line 212 is not in combined log format"):
        await handlers.count(RecordingJob(chunks[17]))


async def test_progress_is_reported_up_to_the_last_line(chunks: list[Path], handlers: ModuleType) -> None:
    job = RecordingJob(chunks[0])
    await handlers.count(job)
    assert [report["done"] for report in job.reported] == list(range(50, 501, 50))
    assert {report["of"] for report in job.reported} == {500}


def test_the_check_notices_a_lost_chunk(chunks: list[Path]) -> None:
    wrong = answer.differences(answer.from_files(chunks[1:]), answer.from_files(chunks))
    assert "the jobs counted 48,000 requests, the files hold 48,500" in wrong


def test_the_check_notices_one_request_counted_under_another_status(chunks: list[Path]) -> None:
    found = answer.from_files(chunks)
    found.status["200"] -= 1
    found.status["404"] += 1
    assert len(answer.differences(found, answer.from_files(chunks))) == 2


def test_the_check_notices_a_good_chunk_among_the_dead_letters(chunks: list[Path]) -> None:
    found = answer.from_files(chunks)
    found.unreadable.add("chunk-000")
    (wrong,) = answer.differences(found, answer.from_files(chunks))
    assert "chunk-000" in wrong
