"""Whose an object is that has the name of a JobQueue's child. Pure.

Anybody may have made a ServiceAccount or a Deployment of that name before; an apply would take it over, and the garbage
collector would delete it with the JobQueue. So every child is looked at before it is applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from crewline_operator.jobqueue.children.labels import ownership_labels
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.key import Object
from crewline_operator.model.names import API_VERSION


class Standing(Enum):
    """What an object is to a JobQueue."""

    OURS = "ours"
    #: A child of a deleted JobQueue of the same name: the garbage collector is about to take it.
    EARLIER = "earlier"
    FOREIGN = "foreign"


def standing(obj: Object, jobqueue: JobQueue) -> Standing:
    """Whose `obj` is, which has the name of a child of `jobqueue`."""
    owners = obj["metadata"].get("ownerReferences") or ()
    controller: Mapping[str, Any] | None = next((owner for owner in owners if owner.get("controller")), None)
    if controller is None:
        # Left behind by `kubectl delete --cascade=orphan`: ours to take up again.
        labels = obj["metadata"].get("labels") or {}
        orphan = all(labels.get(name) == value for name, value in ownership_labels(jobqueue).items())
        return Standing.OURS if orphan else Standing.FOREIGN
    if controller.get("uid") == jobqueue.uid:
        return Standing.OURS
    names = (controller.get("apiVersion"), controller.get("kind"), controller.get("name"))
    return Standing.EARLIER if names == (API_VERSION, "JobQueue", jobqueue.name) else Standing.FOREIGN
