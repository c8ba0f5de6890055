"""A handler that can't be found is said so in a way that names the mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from crewline.errors import HandlerNotFound
from crewline.worker.handlers.loading import load_handler


@pytest.mark.parametrize(
    ("source", "spec", "said"),
    [
        ("def handle(job): ...", ":handle", "must be written module:function"),
        ("def handle(job): ...", "broken:", "must be written module:function"),
        ("def handle(job): ...", "broken", "has no @on routes"),
        ("import nowhere_to_be_found", "broken:handle", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("def handle(job:", "broken:handle", "SyntaxError"),
        ("1 / 0", "broken:handle", "ZeroDivisionError: division by zero"),
        ("def run(job): ...", "broken:handle", "no 'handle' (it has run)"),
        ("import sys\nsys.exit(0)", "broken:handle", "its module ends its program, by sys.exit(0)"),
        ("handle = 3", "broken:handle.nope", "has no 'nope' (it has as_integer_ratio"),
        ("handle = 3", "broken:handle", "is no function: it is int"),
        ("def handle(): ...", "broken:handle", "handle takes no job: let it take (job) or (job, data)"),
        ("class Handle: ...", "broken:Handle", "Handle is a class"),
        ("def handle(job): yield", "broken:handle", "handle is a generator"),
        ("from crewline import on\n@on('a')\ndef handle(): ...", "broken", "handle takes no job"),
        ("def handle(job): ...", "broken.py", "names a file, where its module is wanted: write broken:handle"),
        ("def run(job): ...", "./broken.py:run", "names a file, where its module is wanted: write broken:run"),
        ("def run(job): ...", "jobs/broken.py:run", "write broken:run, with --code-path jobs"),
    ],
)
def test_what_is_wrong_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, spec: str, said: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    name = f"broken_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(source)
    with pytest.raises(HandlerNotFound) as raised:
        load_handler(spec.replace("broken", name), str(tmp_path))
    assert said.replace("broken", name) in str(raised.value)


def test_a_missing_code_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(HandlerNotFound, match=r"code folder .* does not exist"):
        load_handler("handlers:handle", str(tmp_path / "nope"))


def test_a_good_handler_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "fine_handlers.py").write_text("async def handle(job): return 1")
    assert load_handler("fine_handlers:handle", str(tmp_path)).__name__ == "handle"
