"""Which main files a child process may load."""

from __future__ import annotations

from pathlib import Path

import pytest
from crewline.worker.processes.mainfile import is_guarded


@pytest.mark.parametrize(
    ("source", "guarded"),
    [
        ('if __name__ == "__main__":\n    run()', True),
        ("if '__main__' == __name__:\n    run()", True),
        ('def f():\n    if __name__ == "__main__":\n        run()', False),
        ('if __name__ != "__main__":\n    run()', False),
        ('if __name__ == "main":\n    run()', False),
        ("run()", False),
        ("if :", False),
        ("\0", False),
    ],
)
def test_a_main_file_says_what_a_child_must_not_run(tmp_path: Path, source: str, guarded: bool) -> None:
    path = tmp_path / "program.py"
    path.write_text(source)
    assert is_guarded(str(path)) is guarded


def test_what_is_no_file_is_not_guarded(tmp_path: Path) -> None:
    assert not is_guarded(str(tmp_path / "away.py"))
