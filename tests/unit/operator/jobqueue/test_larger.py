"""The larger worker: made while a job waits for one, never ended while it may be busy, and gone after."""

from __future__ import annotations

from typing import Any

import pytest
from crewline_operator.effects.actions import Apply, Remove
from crewline_operator.effects.done import Denied
from crewline_operator.jobqueue.observed import Code, Observed
from crewline_operator.jobqueue.plan import Plan
from crewline_operator.model.do_not_disrupt import DO_NOT_DISRUPT
from crewline_operator.model.fault import FAULT_CHECK_SECONDS, Fault
from crewline_operator.model.key import Object
from crewline_operator.model.names import JOBQUEUE_LABEL, LARGER_LABEL
from crewline_operator.model.settings import Settings
from crewline_operator.redis.reading import Running

from tests.unit.operator.factories import conditions, deployment, jobqueue, observed, service_account
from tests.unit.operator.jobqueue.plans import MAILS, manifest, plan, planned, reading, status_of

WORKER: dict[str, Any] = {
    "handler": "handlers:handle", "concurrency": 10,
    "resources": {"limits": {"memory": "128Mi", "cpu": "1"}, "requests": {"memory": "64Mi"}},
    "retryWith": {"memory": "512Mi"},
}  # fmt: skip
WAITS: dict[str, Any] = {"larger": 1, "larger_from_ms": 999_000, "delayed": 1}


def seen(larger: Object | None = None, replicas: int = 1, **parts: Any) -> Observed:
    given = {"reading": reading(**WAITS)} | parts
    return observed(deployment=deployment(replicas), service_account=service_account(), larger=larger, **given)


def at(larger: Object | None = None, worker: dict[str, Any] = WORKER, **parts: Any) -> Plan:
    return planned(seen(larger, **parts), worker=worker)


def larger_pod(result: Plan | None = None, **status: Any) -> dict[str, Any]:
    """The pod as the plan made it, in that state."""
    made = dict(manifest(result or at(), "Pod"))
    made["metadata"] = made["metadata"] | {"uid": "uid-p", "resourceVersion": "7"}
    return made | {"status": status}


def worker_is(**state: Any) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "worker", "state": state, "restartCount": 0}]}


def pods(result: Plan) -> list[Apply | Remove]:
    found = [action for action in result.actions if isinstance(action, Apply | Remove)]
    return [action for action in found if action.kind == "Pod"]


RUNNING = worker_is(running={"startedAt": "2026-03-01T11:00:00Z"})
UNSCHEDULABLE = {
    "phase": "Pending",
    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no memory"}],
}


def test_it_is_as_the_other_workers_but_for_its_memory_and_that_it_ends_by_itself() -> None:
    found = manifest(at(), "Pod")
    metadata, spec = found["metadata"], found["spec"]
    assert (metadata["name"], metadata["namespace"]) == ("emails-larger", "shop")
    assert metadata["ownerReferences"][0]["uid"] == "uid-1"
    assert metadata["labels"]["crewline.dev/jobqueue"] == "emails" and metadata["labels"]["crewline.dev/larger"]
    (container,) = spec["containers"]
    assert container["resources"] == {
        "limits": {"memory": "512Mi", "cpu": "1"}, "requests": {"memory": "512Mi"},
    }  # fmt: skip
    env = {each["name"]: each.get("value") for each in container["env"]}
    assert (env["CREWLINE_LARGER"], env["CREWLINE_ON_OOM"], env["CREWLINE_QUEUE"]) == ("1", "larger", "emails")
    assert (spec["restartPolicy"], spec["serviceAccountName"]) == ("OnFailure", "emails")


def test_it_is_made_where_a_job_waits_for_one_though_no_other_worker_is_wanted() -> None:
    result = at(replicas=0)
    assert pods(result) == [Apply(manifest(result, "Pod"))]
    assert status_of(result)["desiredReplicas"] == 0
    assert status_of(result)["retryWith"] == {"waiting": 1}


@pytest.mark.parametrize(
    "parts",
    [
        {"reading": reading()},
        {"reading": reading(**WAITS, paused=True)},
        # tried again in a minute
        {"reading": reading(**(WAITS | {"larger_from_ms": 1_060_000}))},
        {"reading": reading(**WAITS, owner=MAILS)},
        {"code": Code(missing=True)},
    ],
)
def test_it_is_not_made_where_nothing_could_run_in_it_yet(parts: dict[str, Any]) -> None:
    assert pods(at(**parts)) == []


def test_without_the_wish_there_is_none() -> None:
    plain = {name: value for name, value in WORKER.items() if name != "retryWith"}
    result = at(worker=plain)
    assert pods(result) == [] and "retryWith" not in status_of(result)
    assert jobqueue(worker=plain).target.larger is False and jobqueue(worker=WORKER).target.larger is True


@pytest.mark.parametrize("parts", [{}, {"reading": reading()}], ids=["a job waits", "none waits"])
@pytest.mark.parametrize(
    "status", [RUNNING, {"phase": "Pending"}, worker_is(waiting={"reason": "ContainerCreating"})],
)  # fmt: skip
def test_one_that_runs_or_is_about_to_is_left_whatever_the_spec_says_by_now(
    status: dict[str, Any], parts: dict[str, Any]
) -> None:
    pod = larger_pod(**status)
    assert pods(at(pod, **parts)) == []
    assert pods(at(pod, worker=WORKER | {"retryWith": {"memory": "2Gi"}}, **parts)) == []


@pytest.mark.parametrize(
    "status", [{"phase": "Succeeded"}, {"phase": "Failed"}, worker_is(terminated={"exitCode": 0})],
)  # fmt: skip
def test_one_that_has_ended_is_removed_and_made_anew_once_it_is_gone(status: dict[str, Any]) -> None:
    assert pods(at(larger_pod(**status))) == [Remove("Pod", "emails-larger", "uid-p")]
    going = larger_pod(**status)
    going["metadata"]["deletionTimestamp"] = "2026-03-01T11:59:59Z"
    result = at(going)
    assert pods(result) == [] and result.check_after_seconds == 1.0


def test_one_whose_container_has_died_is_the_kubelets_to_start_again() -> None:
    assert pods(at(larger_pod(**worker_is(terminated={"exitCode": 137, "reason": "OOMKilled"})))) == []


def test_one_that_cannot_start_is_told_of_and_made_anew_when_the_spec_changes_or_nobody_waits() -> None:
    pod = larger_pod(**UNSCHEDULABLE)
    result = at(pod)
    assert pods(result) == []
    assert conditions(status_of(result))["Degraded"] == ("True", "Unschedulable")
    assert "emails-larger" in status_of(result)["faults"][0]["message"]
    removed = [Remove("Pod", "emails-larger", "uid-p")]
    assert pods(at(pod, worker=WORKER | {"retryWith": {"memory": "256Mi"}})) == removed
    assert pods(at(pod, reading=reading())) == removed


def test_one_that_is_refused_is_told_of_and_tried_again_and_holds_up_nothing_else() -> None:
    fault = Fault("ApplyRefused", "the API server refuses Pod 'emails-larger': exceeded quota")
    clock = seen().clock
    just_now, then = (Denied(fault, clock - ago) for ago in (1, FAULT_CHECK_SECONDS))
    result = at(larger_denied=just_now)
    assert pods(result) == []
    assert conditions(status_of(result))["Degraded"] == ("True", "ApplyRefused")
    assert [type(action) for action in pods(at(larger_denied=then))] == [Apply]


def test_another_ones_pod_of_that_name_is_left_and_told_of() -> None:
    pod = larger_pod(**RUNNING)
    pod["metadata"] |= {"ownerReferences": [], "labels": {}}
    result = at(pod)
    assert pods(result) == []
    assert conditions(status_of(result))["Degraded"] == ("True", "NameTaken")
    assert conditions(status_of(at(pod, reading=reading())))["Degraded"][0] == "False"


def test_one_of_an_earlier_jobqueue_of_that_name_is_waited_for() -> None:
    pod = larger_pod(**RUNNING)
    pod["metadata"]["ownerReferences"] = [pod["metadata"]["ownerReferences"][0] | {"uid": "another"}]
    result = at(pod)
    assert pods(result) == [] and result.check_after_seconds == 1.0


def test_what_it_runs_needs_no_other_worker() -> None:
    job = Running(id="7", name="n", worker="emails-larger", started_ms=1_000, progress=None)
    result = at(larger_pod(**RUNNING), replicas=0, reading=reading(active=1, running=(job,)))
    assert status_of(result)["desiredReplicas"] == 0
    assert status_of(result)["retryWith"] == {"waiting": 0, "pod": "emails-larger"}
    both = reading(active=2, running=(job, Running("8", "n", "emails-x", 1_000, None)))
    assert status_of(at(larger_pod(**RUNNING), replicas=0, reading=both))["desiredReplicas"] == 1


def test_autoscalers_are_not_shown_its_pod() -> None:
    assert status_of(at())["selector"] == "crewline.dev/jobqueue=emails,!crewline.dev/larger"


def test_a_template_goes_for_it_too_and_a_sidecar_does_not_keep_it() -> None:
    template = {"spec": {"nodeSelector": {"pool": "batch"}, "containers": [{"name": "proxy", "image": "p:1"}]}}
    result = plan(jobqueue(worker=WORKER | {"template": template}), seen(), Settings(worker_image="worker:1"))
    spec = manifest(result, "Pod")["spec"]
    assert spec["nodeSelector"] == {"pool": "batch"}
    assert {each["name"]: "resources" in each for each in spec["containers"]} == {"worker": True, "proxy": False}
    ended = larger_pod(result, phase="Running", **worker_is(terminated={"exitCode": 0}))
    assert pods(planned(seen(ended), worker=WORKER | {"template": template})) == [
        Remove("Pod", "emails-larger", "uid-p")
    ]


def test_no_budget_counts_it_and_it_asks_to_be_left_where_it_is_for_as_long_as_it_is_there() -> None:
    """Its owner is the JobQueue: by its replicas a budget would count as many workers once more."""
    disruption = {"budget": {"maxUnavailable": 1}, "whileBusy": "DoNotDisrupt"}
    found = at(worker=WORKER | {"disruption": disruption})
    assert manifest(found, "PodDisruptionBudget")["spec"]["selector"] == {
        "matchLabels": {JOBQUEUE_LABEL: "emails"},
        "matchExpressions": [{"key": LARGER_LABEL, "operator": "DoesNotExist"}],
    }
    assert manifest(found, "Pod")["metadata"]["annotations"].items() >= DO_NOT_DISRUPT.items()
    assert not DO_NOT_DISRUPT.keys() & manifest(at(), "Pod")["metadata"]["annotations"].keys()
