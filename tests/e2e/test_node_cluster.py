"""The node that the harness makes itself: side by side, after a crash, and gone without a trace.

Only collected where such a node can run (conftest.py): elsewhere nobody starts one.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.cluster import leftovers
from tests.cluster.errors import ClusterError
from tests.cluster.fixtures import Cluster
from tests.cluster.health import until
from tests.cluster.node import NodeCluster
from tests.cluster.paths import REPOSITORY, Layout
from tests.cluster.record import Record

NAME = "beside"


@pytest.fixture
def beside() -> Iterator[NodeCluster]:
    """A cluster of another name, not started, and taken away in the end."""
    provider = NodeCluster(NAME)
    provider.down()
    yield provider
    provider.down()


def test_two_clusters_run_side_by_side_and_one_goes_without_a_trace(cluster: Cluster, beside: NodeCluster) -> None:
    other = Cluster(beside, beside.up())
    other.kubectl("run", "only-here", "--image=localhost/pause:1")
    other.kubectl("wait", "--for=condition=Ready", "pod/only-here", "--timeout=30s")
    assert "only-here" not in cluster.kubectl("get", "pods", "-o", "name")
    beside.down()
    assert leftovers.left(Layout.of(NAME)) == []
    assert cluster.provider.faults() == []


def test_a_component_that_died_is_named_and_the_next_up_starts_anew(beside: NodeCluster) -> None:
    beside.up()
    before = _record()
    os.kill(before.components["scheduler"].pid, signal.SIGKILL)
    assert until(lambda: bool(before.dead()), 5)
    assert beside.faults() == [f"scheduler has ended: see {before.layout.log}/scheduler.log"]
    beside.up()
    assert beside.faults() == []
    assert _record().components["scheduler"] != before.components["scheduler"]


def test_up_on_a_running_cluster_changes_nothing(beside: NodeCluster) -> None:
    beside.up()
    before = _record()
    beside.up()
    assert _record() == before


def test_down_takes_away_what_a_killed_up_left(beside: NodeCluster) -> None:
    with subprocess.Popen([sys.executable, "-m", "tests.cluster", "up", "--name", NAME], cwd=REPOSITORY) as up:
        assert until(lambda: (record := Record.read(NAME)) is not None and "apiserver" in record.components, 60)
        up.kill()
    assert leftovers.left(Layout.of(NAME)) != []
    beside.down()
    assert leftovers.left(Layout.of(NAME)) == []


def test_a_component_that_can_not_start_shows_the_end_of_its_log(
    beside: NodeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.cluster.components.SERVICE_NETWORK", "no-network")
    with pytest.raises(ClusterError, match=r"apiserver died; .*apiserver\.log ends:\n(.*\n)*.*not a valid cidr"):
        beside.up()


def _record() -> Record:
    record = Record.read(NAME)
    assert record is not None
    return record
