"""Plans of the JobQueue `emails`, and what is in them, for the tests of their parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from crewline_operator.effects.actions import Apply, Pause
from crewline_operator.effects.done import Applied
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.plan import Plan, plan
from crewline_operator.kube.fingerprint import fingerprint
from crewline_operator.model.fault import Fault
from crewline_operator.model.note import Note
from crewline_operator.model.owner import Owner
from crewline_operator.model.settings import Settings
from crewline_operator.redis.reading import Reading

from tests.unit.operator.factories import jobqueue, snapshot

A = TypeVar("A")

SETTINGS = Settings(worker_image="worker:1")

MISSING = Fault("MissingSecret", "create it")

WITH_CODE = {"worker": {"handler": "h:h", "code": {"configMap": "c"}}}

#: Another JobQueue of the cluster, on the same queue.
MAILS = Owner("cluster-1", "shop", "mails", "uid-2")

UNREACHABLE = Fault("RedisUnreachable", "Redis redis:6379/0 does not answer")


def planned(seen: Observed, settings: Settings = SETTINGS, **spec: Any) -> Plan:
    return plan(jobqueue(**spec), seen, settings)


def actions(planned: Plan, kind: type[A]) -> list[A]:
    return [action for action in planned.actions if isinstance(action, kind)]


def manifests(planned: Plan) -> list[Mapping[str, Any]]:
    return [action.manifest for action in actions(planned, Apply)]


def manifest(planned: Plan, kind: str) -> Mapping[str, Any]:
    return next(each for each in manifests(planned) if each["kind"] == kind)


def notes(planned: Plan) -> list[tuple[str, str]]:
    return [(note.type, note.reason) for note in actions(planned, Note)]


def status_of(planned: Plan) -> dict[str, Any]:
    assert planned.status is not None
    return planned.status


def pause(planned: Plan) -> bool | None:
    """True if the queue is to be paused, False if it is to be resumed, None if it is to be left."""
    return next((action.paused for action in actions(planned, Pause)), None)


def reading(**counts: Any) -> Reading:
    return Reading(snapshot=snapshot(**counts))


def in_place(result: Plan, **seen: Any) -> dict[str, Applied]:
    """What a plan applied to the children in `seen`, as it is remembered."""
    children = {
        "Deployment": seen["deployment"],
        "ServiceAccount": seen["service_account"],
        "PodDisruptionBudget": seen.get("disruption_budget"),
    }
    return {
        action.kind: Applied(action.digest, fingerprint(children[action.kind])) for action in actions(result, Apply)
    }
