"""All that is wrong with a JobQueue, in the order in which one fault hides the others. Pure."""

from __future__ import annotations

from crewline_operator.jobqueue.observed import Observed
from crewline_operator.jobqueue.pods import POD_REASONS, deployment_fault, pod_fault, ready_pods
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.jobqueue.status import told_faults
from crewline_operator.model.fault import Fault


def find_faults(jobqueue: JobQueue, observed: Observed) -> list[Fault]:
    """All that is wrong, what hides the others first."""
    faults: list[Fault] = []
    if observed.older_twin is not None:
        faults.append(
            Fault(
                "DuplicateQueue",
                f"JobQueue {observed.older_twin} has the same queue {jobqueue.queue!r} in the same Redis and is older: "
                "give one of them another spec.queue, or delete one",
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
    if observed.refusal is not None:
        faults.append(observed.refusal)
    if isinstance(observed.endpoint, Fault):
        faults.append(observed.endpoint)
    elif observed.reading.fault is not None:
        faults.append(observed.reading.fault)
    if observed.code.missing:
        faults.append(
            Fault(
                "MissingConfigMap",
                f"spec.worker.code: there is no ConfigMap {jobqueue.worker.code_config_map!r} in namespace "
                f"{jobqueue.namespace!r}: create it with the handler's source, or name another",
            )
        )
    faults += [fault for fault in (_worker_fault(observed), deployment_fault(observed.deployment)) if fault]
    return faults


def _worker_fault(observed: Observed) -> Fault | None:
    """What keeps the workers from running. Told until they are ready: pods that start anew have mended nothing yet."""
    fault = pod_fault(observed.pods)
    if fault is not None or ready_pods(observed.pods) >= observed.current_replicas:
        return fault
    # It may have been hidden by others meanwhile.
    return next((fault for fault in told_faults(observed.status) if fault.reason in POD_REASONS), None)
