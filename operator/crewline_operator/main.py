"""`crewline-operator`: one process that looks after all JobQueues and ScheduledJobs of a cluster."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence

import kopf
from crewline.redis.connection import end_tasks
from kubernetes.aio.config import ConfigException

from crewline_operator.controller import Controller
from crewline_operator.kube.api import Api
from crewline_operator.kube.connection import connect
from crewline_operator.kube.election import Candidacy, Timing
from crewline_operator.kube.errors import WentBack
from crewline_operator.kube.fence import Fence
from crewline_operator.kube.identity import has_ended_in, make_identity
from crewline_operator.kube.kinds import NotWatched, until_watched
from crewline_operator.kube.lease import Lease
from crewline_operator.kube.schema import OldSchema
from crewline_operator.kube.watch import make_registry, run_kopf
from crewline_operator.loop.http import serve_http
from crewline_operator.loop.leading import LeadershipLost, Leading
from crewline_operator.loop.metrics import Metrics
from crewline_operator.model.settings import Settings, SettingsError, settings_from_env
from crewline_operator.simulate import command as simulate

log = logging.getLogger(__name__)

#: For a process that has failed or lost the lease to end in an orderly way.
END_SECONDS = 5.0


class PartEnded(Exception):
    """A part of the operator has ended without an error, and without being asked to."""


HELP = """\
Keeps the workers of every JobQueue (crewline.dev) as many as its jobs demand, and adds the jobs of every ScheduledJob
on time. It runs in the cluster with its service account, or outside with KUBECONFIG. Of several, one leads, and the
others wait to: those that name the same Lease.
"""

MORE = f"""\
commands:
  simulate                           {simulate.SUMMARY}: crewline-operator simulate --help

environment:
  CREWLINE_WATCH_NAMESPACES          namespaces to look after, with commas between; default: all
  CREWLINE_WORKER_IMAGE              image of workers whose JobQueue names none
  CREWLINE_WORKER_IMAGE_PULL_POLICY  Always, IfNotPresent (default) or Never
  CREWLINE_NAMESPACE                 namespace of the Lease by which one leads; default: default, by the chart its own
  CREWLINE_LEASE_NAME                name of that Lease; default: crewline-operator, by the chart the release's
  CREWLINE_LEADER_LEASE_SECONDS      another takes over when a leader has been silent for so long; default 8
  CREWLINE_LEADER_DEADLINE_SECONDS   a leader that can't renew the Lease for so long writes no more and ends; default 6
  CREWLINE_LEADER_RENEW_SECONDS      time between two renewals; default 2
  CREWLINE_HTTP_PORT                 port of /healthz, /readyz and /metrics; default 8080
  CREWLINE_LOG_LEVEL                 DEBUG, INFO (default), WARNING or ERROR
  CREWLINE_RECONCILERS               objects reconciled at a time; default 8
  CREWLINE_RESYNC_SECONDS            full check of everything; default 600
  CREWLINE_POLL_SECONDS              time between two reads of a queue that has workers; default 1
  CREWLINE_SCALE_IN_GUARD            true where the chart's guard is on: false (default) or true
  CREWLINE_STATUS_SECONDS            least time between two writes of a status' numbers; default 5
  CREWLINE_STATUS_WRITES_PER_SECOND  statuses written a second at most, of all objects; default 50
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the operator until SIGTERM or SIGINT, or another command; the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["simulate"]:
        return simulate.main(arguments[1:])
    parser = argparse.ArgumentParser(
        prog="crewline-operator",
        description=HELP,
        epilog=MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.parse_args(arguments)
    try:
        settings = settings_from_env(os.environ)
    except SettingsError as error:
        print(f"crewline-operator: {error}", file=sys.stderr)
        return 2
    _set_up_logging(settings.log_level)
    try:
        asyncio.run(run(settings))
    except ConfigException as error:
        print(
            f"crewline-operator: no cluster to connect to ({error}): run it in a pod, or set KUBECONFIG",
            file=sys.stderr,
        )
        return 2
    except LeadershipLost:
        return 1
    except PartEnded as error:
        log.error("%s: this process ends", error)
        return 1
    except (NotWatched, WentBack) as error:
        print(f"crewline-operator: {error}", file=sys.stderr)
        return 1
    except OldSchema as error:
        print(f"crewline-operator: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


async def run(settings: Settings) -> None:
    """Run until a signal comes; raises if a part of the operator fails, so that the kubelet starts it anew."""
    metrics, fence = Metrics(), Fence()
    # Until kopf runs, which has handlers of its own for signals, a pod's first process would ignore them.
    stop, watches = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with connect() as client:
        controller = Controller(Api(client, fence), settings, metrics, fence)
        leading = _leading(Api(client), settings, fence)
        async with serve_http(settings.http_port, metrics, watches.is_set) as port:
            log.info("/healthz, /readyz and /metrics are on port %d", port)
            working = asyncio.create_task(controller.run(), name="controller")
            electing = asyncio.create_task(_elect(controller, leading, settings, watches), name="leading")
            is_asked_to_end = False

            async def stop_working() -> None:
                nonlocal is_asked_to_end
                is_asked_to_end = True
                working.cancel()
                await asyncio.wait({working})
                electing.cancel()
                await asyncio.wait({electing})
                # Only now that nobody here writes any more.
                await leading.release()

            registry = make_registry(controller.on_object, stop_working)
            watching = asyncio.create_task(_watch(controller, settings, registry, stop), name="kopf")
            done, _ = await asyncio.wait({watching, working, electing}, return_when=asyncio.FIRST_COMPLETED)
            # kopf ends at SIGTERM and takes the others with it; they end by themselves only by failing.
            first = next(iter(done))
            if not is_asked_to_end and not stop.is_set():
                _end_in_time()
            is_in_order = is_asked_to_end or (first is watching and not watching.cancelled())
            stop.set()
            await asyncio.wait({watching})
            await stop_working()
            await asyncio.wait({electing, watching, working})
            # First what failed first: without the lease calls of the others fail, too.
            tell_end((electing, watching, working), first=None if is_in_order else first)


def tell_end(parts: Sequence[asyncio.Task[None]], first: asyncio.Task[None] | None) -> None:
    """Raises what a part has failed by, so that the process ends as one that failed.

    Args:
        parts: all of them, which have ended.
        first: the one that ended without being asked to; None if none did.

    Raises PartEnded if it did without an error.
    """
    for part in parts:
        if not part.cancelled() and isinstance(error := part.exception(), Exception):
            while isinstance(error, ExceptionGroup):
                # one of the tasks within it
                error = error.exceptions[0]
            raise error
    if first is not None:
        raise PartEnded(f"{first.get_name()} has ended, which it never should")


async def _watch(
    controller: Controller, settings: Settings, registry: kopf.OperatorRegistry, stop: asyncio.Event
) -> None:
    """Run kopf, which looks for kinds just once, as soon as all of them have been listed."""
    waiting = {asyncio.create_task(controller.listed()), asyncio.create_task(stop.wait())}
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end_tasks(*waiting)
    if not stop.is_set():
        await run_kopf(settings, registry, stop=stop)


async def _elect(controller: Controller, leading: Leading, settings: Settings, watches: asyncio.Event) -> None:
    """Lead when it is this process' turn. Raises LeadershipLost and NotWatched."""
    await controller.listed()
    await until_watched(settings.watch_namespaces)
    watches.set()
    await leading.run(controller.events, controller.lead)


def _leading(api: Api, settings: Settings, fence: Fence) -> Leading:
    pod = settings.pod_name, settings.pod_uid
    identity = make_identity(*pod)
    timing = Timing(settings.lease_seconds, settings.renew_deadline_seconds, settings.renew_seconds)
    return Leading(
        lease=Lease(api, settings.namespace, settings.lease_name),
        fence=fence,
        candidacy=Candidacy(identity, timing, has_ended_in(*pod, identity)),
        timing=timing,
    )


def _end_in_time() -> None:
    """Have this process end even if one of its parts, which has failed, or waits for somebody, does not."""

    def end() -> None:
        time.sleep(END_SECONDS)
        # kopf waits for an API server that is away.
        log.warning("ending now: not all parts have ended within %g s", END_SECONDS)
        os._exit(1)

    threading.Thread(target=end, name="end", daemon=True).start()


def _set_up_logging(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("kopf").setLevel(logging.DEBUG if level == "DEBUG" else logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
