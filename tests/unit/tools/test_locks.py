"""The lock files: everything by hash, from wherever the user's own settings say packages come."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_pins_every_package_by_version_and_hash(lock: Path) -> None:
    text = lock.read_text()
    starts = [match.start() for match in re.finditer(r"^[a-z0-9]", text, re.MULTILINE)]
    assert starts
    for start, end in zip(starts, [*starts[1:], len(text)], strict=True):
        block = text[start:end]
        assert re.match(r"[a-z0-9._-]+==\S+", block), block
        assert "--hash=sha256:" in block, block


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_download_address(lock: Path) -> None:
    assert "://" not in lock.read_text()


def test_the_development_lock_has_the_versions_of_the_images() -> None:
    def pins(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+==[^ ;\\]+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))

    assert pins("worker.txt") | pins("operator.txt") <= pins("dev.txt")
