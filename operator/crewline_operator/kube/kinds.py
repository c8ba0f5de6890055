"""The kinds that are listed and watched, and whether the API server says that it serves them, and kopf watches them.

kopf looks for kinds once, at its start, and leaves one that is not served then alone, for good and without an error. A
CRD that was just made is told of by one API server earlier than by another, and one that has just started knows no CRD
for some seconds. So kinds are asked for before kopf is, and whether it has found them is looked at afterwards: who does
not see what happens must neither lead nor say that it is ready.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from crewline_operator.kube.api import Api
from crewline_operator.kube.errors import ApiError
from crewline_operator.kube.resources import (
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    JOBQUEUES,
    PODS,
    SCHEDULEDJOBS,
    SERVICE_ACCOUNTS,
    Resource,
)
from crewline_operator.model.names import JOBQUEUE_LABEL

#: Kind, where it is served, and the label that ours have.
KINDS = (
    ("JobQueue", JOBQUEUES, None),
    ("ScheduledJob", SCHEDULEDJOBS, None),
    ("Deployment", DEPLOYMENTS, JOBQUEUE_LABEL),
    ("ServiceAccount", SERVICE_ACCOUNTS, JOBQUEUE_LABEL),
    ("PodDisruptionBudget", DISRUPTION_BUDGETS, JOBQUEUE_LABEL),
    ("Pod", PODS, JOBQUEUE_LABEL),
)
#: For kopf to find all kinds, from its start on.
FIND_SECONDS = 30.0
LOOK_SECONDS = 0.05


class NotWatched(Exception):
    """A kind is not watched, though the API server has said that it serves it."""


async def check_served(api: Api) -> None:
    """Raises ApiError, as if not found, if the API server does not tell of a kind; and what its calls raise."""
    groups = (await api.ask("/apis")).get("groups") or ()
    served = {"/api/v1", *(f"/apis/{version['groupVersion']}" for group in groups for version in group["versions"])}
    for path in sorted({resource.api for _, resource, _ in KINDS}):
        # The group is in the list before its kinds are, or the other way round.
        told = (await api.ask(path)).get("resources") or () if path in served else ()
        names = {each["name"] for each in told}
        for _, resource, _ in KINDS:
            if resource.api == path and resource.plural not in names:
                raise ApiError(404, "NotFound", f"the API server does not tell of {resource.plural} at {path}")


async def until_watched(namespaces: Sequence[str]) -> None:
    """Wait until kopf, which has just been started, watches all kinds. Raises NotWatched.

    A watcher that fails later on ends kopf.
    """
    until = time.monotonic() + FIND_SECONDS
    while missing := _not_watched(namespaces):
        if time.monotonic() >= until:
            raise NotWatched(f"not watched {FIND_SECONDS:g} s after the start: {', '.join(missing)}")
        await asyncio.sleep(LOOK_SECONDS)


def _not_watched(namespaces: Sequence[str]) -> list[str]:
    # kopf tells it by nothing but the names of its tasks.
    running = {task.get_name() for task in asyncio.all_tasks()}
    wanted = (f"{_kopfs_name(resource)}@{each}" for _, resource, _ in KINDS for each in namespaces or (None,))
    return [each for each in wanted if f"watcher for {each}" not in running]


def _kopfs_name(resource: Resource) -> str:
    group, version = resource.group_version
    return f"{resource.plural}.{version}.{group}".strip(".")
