"""When a process began, by its machine's clock: what is over before that is not it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from crewline.worker.registry import began

PROGRAM = (
    "import time; time.sleep(0.3); from crewline.worker.registry.began import process_began; print(process_began())"
)


def test_it_is_the_process_start_and_not_the_first_look() -> None:
    before = time.time()
    told = float(subprocess.run([sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True).stdout)
    after = time.time()
    # the clock's steps are 10 ms
    assert before <= told < after - 0.3 + 0.02


def test_a_name_with_blanks_and_brackets_is_no_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = began.STAT.read_text()
    usual = began.process_began()
    (tmp_path / "stat").write_text(f"{real.split()[0]} (a ) b) {real.rpartition(')')[2]}")
    monkeypatch.setattr(began, "STAT", tmp_path / "stat")
    assert abs(began.process_began() - usual) < 0.1


@pytest.mark.parametrize("content", [None, "", "1 (x) S 1", "1 (x) " + "x " * 30])
def test_where_it_is_not_told_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None) -> None:
    if content is not None:
        (tmp_path / "stat").write_text(content)
    monkeypatch.setattr(began, "STAT", tmp_path / "stat")
    before = round(time.time(), 3) - 0.001
    assert before <= began.process_began() <= time.time() + 0.001
