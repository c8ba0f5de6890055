"""No job is lost, and none handled twice without a reason, while one thing after the other breaks (the short form)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos import driver
from tests.chaos.faults import FAULTS
from tests.chaos.scene import SHORT

SEED = 20260730


@pytest.mark.parametrize("name", FAULTS)
async def test_no_job_is_lost_and_none_handled_twice_without_a_reason(name: str, tmp_path: Path) -> None:
    row = await driver.run(FAULTS[name], SHORT, SEED, tmp_path)
    print(row)
    assert row.problems == []
