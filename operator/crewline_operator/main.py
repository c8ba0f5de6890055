"""`crewline-operator`: one process that looks after all JobQueues and ScheduledJobs of a cluster."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Sequence

from kubernetes.aio.config import ConfigException

from crewline_operator.controller import Controller
from crewline_operator.kube.api import Api, connect
from crewline_operator.kube.election import Candidacy, Timing
from crewline_operator.kube.errors import WentBack
from crewline_operator.kube.fence import Fence
from crewline_operator.kube.identity import has_ended_in, make_identity
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
    except WentBack as error:
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
    async with connect() as client:
        controller = Controller(Api(client, fence), settings, metrics, fence)
        leading = _leading(Api(client), settings, fence)
        async with serve_http(settings.http_port, metrics, lambda: controller.ready) as port:
            log.info("/healthz, /readyz and /metrics are on port %d", port)
            working = asyncio.create_task(controller.run(), name="controller")
            electing = asyncio.create_task(_elect(controller, leading), name="leading")

            stop, is_asked_to_end = asyncio.Event(), False

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
            watching = asyncio.create_task(run_kopf(settings, registry, stop=stop), name="kopf")
            await asyncio.wait({watching, working, electing}, return_when=asyncio.FIRST_COMPLETED)
            # kopf ends at SIGTERM and takes the others with it; they end by themselves only by failing.
            if not is_asked_to_end:
                _end_in_time()
            stop.set()
            await asyncio.wait({watching})
            await stop_working()
            # First what failed first: without the lease calls of the others fail, too.
            results = await asyncio.gather(electing, watching, working, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    raise result


async def _elect(controller: Controller, leading: Leading) -> None:
    await controller.listed()
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
