"""A binary in the cache is found again while its sources stay as they were, and only then."""

from pathlib import Path

import pytest

from tests.cluster import build
from tests.cluster.build import Program


class Elsewhere(Program):
    """A program whose module lies in a test's folder."""

    folder: Path

    @property
    def module(self) -> Path:
        return self.folder


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    monkeypatch.setattr(build, "go_version", lambda module: "go1.26.8")
    (tmp_path / "go.mod").write_text("module example\n")
    (tmp_path / "main.go").write_text("package main\n")
    monkeypatch.setattr(Elsewhere, "folder", tmp_path, raising=False)
    return Elsewhere("example", estimate_seconds=1)


def test_the_same_sources_have_the_same_key(program: Program) -> None:
    assert program.key() == program.key()


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go", "another.go"])
def test_a_changed_source_has_another_key(program: Program, file: str) -> None:
    before = program.key()
    with (program.module / file).open("a") as source:
        source.write("// changed\n")
    assert program.key() != before


def test_another_go_has_another_key(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    before = program.key()
    monkeypatch.setattr(build, "go_version", lambda module: "go1.27.0")
    assert program.key() != before
