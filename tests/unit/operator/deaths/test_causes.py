"""Why a worker died, read off its pod in every shape that was seen; and what is no death."""

from __future__ import annotations

import pytest
from crewline_operator.deaths.causes import Death, deaths_of
from crewline_operator.model.deletion_cost import DELETION_COST, MARK

from tests.unit.operator.deaths.pods import (
    BACKING_OFF,
    DELETED,
    FINISHED_SECONDS,
    NAME,
    RUNNING,
    UID,
    Object,
    disrupted,
    pod,
    terminated,
)

OOM = terminated(137, "OOMKilled")
KILLED = terminated(137)
SECOND = terminated(1, "Error", "2026-03-01T12:00:20Z", containerID="containerd://c2")
SCALED_IN = DELETED | {"annotations": {DELETION_COST: MARK}}
LOST = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}


def evicted(message: str, state: Object = KILLED) -> Object:
    """A pod that its kubelet has ended for its node's sake."""
    target = disrupted("TerminationByKubelet") | {"message": message}
    return pod(state, conditions=(target,), phase="Failed", reason="Evicted", message=message)


def death(cause: str, blame: bool, container: str = "containerd://c1", before: float = FINISHED_SECONDS) -> Death:
    return Death(container, UID, cause, blame, before, cause.startswith("OOMKilled"))


@pytest.mark.parametrize(
    ("seen", "cause", "blame"),
    [
        (pod(OOM, limit="64Mi"), f"OOMKilled in pod {NAME}, whose memory limit is 64Mi", True),
        (pod(OOM), f"OOMKilled in pod {NAME}", True),
        (pod(RUNNING, OOM, restarts=1), f"OOMKilled in pod {NAME}", True),
        (
            pod(terminated(3, message="Traceback …\n  File …\nValueError: no\n\n")),
            f"the worker in pod {NAME} ended with exit code 3: ValueError: no",
            True,
        ),
        (pod(terminated(139)), f"the worker in pod {NAME} ended with exit code 139 (SIGSEGV)", True),
        (pod(terminated(0, "Completed")), f"the worker in pod {NAME} ended with exit code 0", True),
        # The reason sticks to a container once any process in it was killed for want of memory.
        (pod(terminated(0, "OOMKilled")), f"the worker in pod {NAME} ended with exit code 0", True),
        (pod(terminated(1, "OOMKilled")), f"the worker in pod {NAME} ended with exit code 1", True),
        # A liveness probe that failed: nothing else says so.
        (pod(KILLED), f"the worker in pod {NAME} ended with exit code 137 (SIGKILL)", True),
        (pod(KILLED, metadata=DELETED), f"pod {NAME} was deleted", False),
        (pod(terminated(0, "Completed"), metadata=DELETED), f"pod {NAME} was deleted", False),
        (pod(terminated(143), metadata=SCALED_IN), f"pod {NAME} was scaled in", False),
        (
            pod(KILLED, conditions=(disrupted("EvictionByEvictionAPI"),), metadata=DELETED),
            f"pod {NAME} was evicted (EvictionByEvictionAPI)",
            False,
        ),
        (
            pod(KILLED, conditions=(disrupted("PreemptionByScheduler"),), metadata=DELETED),
            f"pod {NAME} was preempted by a pod of higher priority (PreemptionByScheduler)",
            False,
        ),
        (
            pod(KILLED, conditions=(disrupted("DeletionByTaintManager"),), metadata=DELETED),
            f"pod {NAME} was taken off its node by a taint (DeletionByTaintManager)",
            False,
        ),
        (
            pod(KILLED, conditions=(disrupted("TerminationByKubelet"),), phase="Failed", reason="Evicted"),
            f"pod {NAME} was ended by its node (Evicted)",
            False,
        ),
        # By what it uses itself: a job may be the cause, and would do the same to the next node.
        (
            evicted(
                "The node was low on resource: memory. Threshold quantity: 100Mi, available: 88332Ki. Container proxy "
                "was using 40Mi, request is 10Mi, has larger consumption of memory. Container worker was using 6214Mi, "
                "request is 0, has larger consumption of memory. "
            ),
            f"pod {NAME} was evicted: Container worker was using 6214Mi, request is 0, "
            "has larger consumption of memory",
            True,
        ),
        (
            evicted('Container worker exceeded its local ephemeral storage limit "1Gi". '),
            f'pod {NAME} was evicted: Container worker exceeded its local ephemeral storage limit "1Gi"',
            True,
        ),
        # Another one's doing.
        (
            evicted(
                "The node was low on resource: memory. Container proxy was using 4Gi, request is 0, has larger "
                "consumption of memory. "
            ),
            f"pod {NAME} was ended by its node (Evicted)",
            False,
        ),
        (
            evicted("The node was low on resource: memory. Container worker-2 was using 4Gi, request is 0, has larger"),
            f"pod {NAME} was ended by its node (Evicted)",
            False,
        ),
        (
            pod(KILLED, conditions=(disrupted("OfALaterRelease"),), metadata=DELETED),
            f"pod {NAME} was disrupted (OfALaterRelease)",
            False,
        ),
        # What a worker that is to go does by itself is no deletion's doing.
        (
            pod(terminated(139), metadata=DELETED),
            f"the worker in pod {NAME} ended with exit code 139 (SIGSEGV)",
            True,
        ),
        (pod(OOM, metadata=DELETED), f"OOMKilled in pod {NAME}", True),
        # The end of the grace period, after a process in it was killed for want of memory.
        (
            pod(terminated(137, "OOMKilled", DELETED["deletionTimestamp"]), metadata=DELETED),
            f"pod {NAME} was deleted",
            False,
        ),
        # It had died before its pod was deleted.
        (pod(RUNNING, OOM, restarts=1, metadata=DELETED), f"OOMKilled in pod {NAME}", True),
    ],
)
def test_the_cause_of_a_death_and_whether_a_job_may_be_it(seen: Object, cause: str, blame: bool) -> None:
    (found,) = deaths_of(seen)
    assert (found.cause, found.blame, found.container, found.uid) == (cause, blame, "containerd://c1", UID)
    assert found.oom is cause.startswith("OOMKilled")


@pytest.mark.parametrize(
    "seen",
    [
        pod(RUNNING),
        pod({"waiting": {"reason": "ContainerCreating"}}),
        {"metadata": pod(RUNNING)["metadata"], "spec": {"containers": []}},
        {"metadata": pod(RUNNING)["metadata"], "status": {"phase": "Pending"}},
        # A silent node, and then the end of its pod's object: the container may run on.
        pod(RUNNING, conditions=(LOST,)),
        pod(RUNNING, conditions=(LOST, disrupted("DeletionByTaintManager")), metadata=DELETED),
        pod(RUNNING, conditions=(disrupted("DeletionByPodGC"),), phase="Failed", metadata=DELETED),
        # Deleted by force.
        pod(RUNNING, metadata=DELETED | {"deletionGracePeriodSeconds": 0}),
        # A drain that has only begun.
        pod(RUNNING, conditions=(disrupted("EvictionByEvictionAPI"),)),
        # The kubelet has lost the container, and does not know when it ended.
        pod(terminated(137, "ContainerStatusUnknown", None)),
    ],
)
def test_what_may_run_on_is_no_death(seen: Object) -> None:
    assert deaths_of(seen) == []


def test_one_that_was_killed_at_its_limit_is_no_evicted_one() -> None:
    message = "Container worker was using 6214Mi, request is 0, has larger consumption of memory. "
    (found,) = deaths_of(evicted(message, OOM))
    assert (found.cause, found.blame, found.oom) == (f"OOMKilled in pod {NAME}", True, True)
    # Of one that ended before its pod was evicted nothing is said.
    (before,) = deaths_of(pod(RUNNING, KILLED, restarts=1, reason="Evicted", message=message))
    assert before.cause == f"the worker in pod {NAME} ended with exit code 137 (SIGKILL)"


def test_two_containers_of_one_place_die_one_after_the_other() -> None:
    assert deaths_of(pod(SECOND, OOM, restarts=1)) == [
        death(f"OOMKilled in pod {NAME}", True),
        death(f"the worker in pod {NAME} ended with exit code 1", True, "containerd://c2", FINISHED_SECONDS + 15),
    ]


def test_one_that_waits_for_its_next_start_is_told_from_it_within_the_second_of_its_end() -> None:
    (known,) = deaths_of(pod(BACKING_OFF, SECOND, restarts=1))
    assert known.before == FINISHED_SECONDS + 16
    (known,) = deaths_of(pod(RUNNING, SECOND, restarts=2))
    assert known.before == FINISHED_SECONDS + 15, "its successor may have begun in that second"


@pytest.mark.parametrize(
    ("seen", "replaced"),
    [
        (pod(OOM), False),
        (pod(SECOND, OOM, restarts=1), False),
        (pod(BACKING_OFF, OOM, restarts=1), False),
        (pod(RUNNING, OOM, restarts=1), True),
        # It is about to start.
        (pod({"waiting": {"reason": "ContainerCreating"}}, OOM, restarts=1), True),
        (pod({}, OOM, restarts=1), True),
    ],
)
def test_another_may_run_in_its_place_where_nothing_says_that_none_does(seen: Object, replaced: bool) -> None:
    assert {death.replaced for death in deaths_of(seen)} == {replaced}


def test_a_container_that_its_runtime_has_forgotten_is_known_by_its_place() -> None:
    lost = terminated(137, "ContainerStatusUnknown", containerID="")
    first, again = (deaths_of(pod(lost, restarts=restarts))[0].container for restarts in (1, 2))
    assert first and again and first != again
