"""All that is wrong with a JobQueue, in the order in which one fault hides the others. Pure."""

from __future__ import annotations

from crewline_operator.jobqueue.children.deployment import PROGRESS_DEADLINE_SECONDS, find_template_fault
from crewline_operator.jobqueue.children.template_digest import is_outdated
from crewline_operator.jobqueue.claim import DUPLICATE
from crewline_operator.jobqueue.has_queue import has_queue
from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.pods import (
    NOT_READY,
    POD_REASONS,
    deployment_fault,
    is_leaving,
    is_ready,
    pod_fault,
    ready_pods,
)
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.jobqueue.status import told_faults
from crewline_operator.model.fault import Fault
from crewline_operator.model.owner import Owner, claim_key
from crewline_operator.redis.endpoint import Endpoint


def find_faults(jobqueue: JobQueue, observed: Observed) -> list[Fault]:
    """All that is wrong, what hides the others first."""
    faults: list[Fault] = []
    if observed.holder is not None:
        faults.append(_duplicate(jobqueue, observed.holder, observed.me))
    if observed.stale_child is not None:
        faults.append(
            Fault(
                "EarlierNotGone",
                f"{observed.stale_child} of an earlier JobQueue of this name is still there, and workers are made when "
                "it is gone: it goes when its pods have ended, and nobody's finalizer keeps it",
            )
        )
    if observed.taken_name is not None:
        faults.append(
            Fault(
                "NameTaken",
                f"{observed.taken_name} exists and does not belong to this JobQueue, whose workers need the name: "
                "make the JobQueue under another name, or delete what has it if nobody needs that",
            )
        )
    template = find_template_fault(jobqueue)
    if template is not None:
        faults.append(template)
    if observed.refusal is not None:
        faults.append(observed.refusal)
    if isinstance(observed.endpoint, Fault):
        faults.append(observed.endpoint)
    elif observed.reading.fault is not None:
        faults.append(observed.reading.fault)
        faults += [fault for fault in told_faults(observed.status) if _still_duplicate(fault, jobqueue, observed)]
    if observed.code.missing:
        faults.append(
            Fault(
                "MissingConfigMap",
                f"spec.worker.code: there is no ConfigMap {jobqueue.worker.code_config_map!r} in namespace "
                f"{jobqueue.namespace!r}: create it with the handler's source, or name another",
            )
        )
    stuck = deployment_fault(observed.deployment, all_ready=_are_all_ready(observed)) or _stuck_fault(observed)
    faults += [fault for fault in (_worker_fault(observed), stuck) if fault]
    return faults


def _are_all_ready(observed: Observed) -> bool:
    """Whether a rollout waits for nothing but earlier workers, which may have long jobs to finish."""
    deployment = observed.deployment or {"spec": {"template": {}}}
    newest = [pod for pod in observed.pods if not is_leaving(pod) and not is_outdated(pod, deployment)]
    return sum(map(is_ready, newest)) >= observed.current_replicas


def _stuck_fault(observed: Observed) -> Fault | None:
    """A Deployment's own deadline is for rollouts: it tells nothing of pods that hang when a queue is woken."""
    since = observed.unready_since
    return NOT_READY if since is not None and observed.clock - since >= PROGRESS_DEADLINE_SECONDS else None


def _still_duplicate(fault: Fault, jobqueue: JobQueue, observed: Observed) -> bool:
    """Whether it was told that another has this very queue. A Redis that is away has given it to nobody."""
    told = (observed.status.get("queue"), observed.status.get("redis"))
    shown = observed.endpoint.shown if isinstance(observed.endpoint, Endpoint) else None
    same = told == (jobqueue.queue, shown) and not has_queue(jobqueue, observed)
    return fault.reason == DUPLICATE and same


def _duplicate(jobqueue: JobQueue, holder: Owner, me: Owner) -> Fault:
    mend = "give one of them another spec.queue, or delete one"
    if holder.cluster == me.cluster:
        return Fault(DUPLICATE, f"JobQueue {holder} has queue {jobqueue.queue!r} of this Redis: {mend}")
    key = claim_key(jobqueue.prefix, jobqueue.queue)
    return Fault(
        DUPLICATE,
        f"JobQueue {holder} of another cluster has queue {jobqueue.queue!r} of this Redis: {mend}; if that cluster is "
        f"gone for good, wait an hour, or delete key {key!r} in Redis",
    )


def _worker_fault(observed: Observed) -> Fault | None:
    """What keeps the workers from running. Told until they are ready: pods that start anew have mended nothing yet."""
    fault = pod_fault(observed.pods)
    if fault is not None or ready_pods(observed.pods) >= observed.current_replicas:
        return fault
    # It may have been hidden by others meanwhile.
    told = (fault for fault in told_faults(observed.status) if fault.reason in POD_REASONS)
    # that of a larger worker is told as long as that is there
    return next((fault for fault in told if f"pod {observed.me.name}-larger" not in fault.message), None)
