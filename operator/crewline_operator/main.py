"""`crewline-operator`: one process that looks after all JobQueues and ScheduledJobs of a cluster."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence

from kubernetes.aio.config import ConfigException

from crewline_operator.controller import Controller
from crewline_operator.kube.api import connect
from crewline_operator.kube.schema import OldSchema
from crewline_operator.kube.watch import make_registry, run_kopf
from crewline_operator.loop.http import serve_http
from crewline_operator.loop.metrics import Metrics
from crewline_operator.model.settings import Settings, SettingsError, settings_from_env
from crewline_operator.simulate import command as simulate

log = logging.getLogger(__name__)

HELP = """\
Keeps the workers of every JobQueue (crewline.dev) as many as its jobs demand, and adds the jobs of every ScheduledJob
on time. It runs in the cluster with its service account, or outside with KUBECONFIG.
"""

MORE = f"""\
commands:
  simulate                           {simulate.SUMMARY}: crewline-operator simulate --help

environment:
  CREWLINE_WATCH_NAMESPACES          namespaces to look after, with commas between; default: all
  CREWLINE_WORKER_IMAGE              image of workers whose JobQueue names none
  CREWLINE_WORKER_IMAGE_PULL_POLICY  Always, IfNotPresent (default) or Never
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
    except OldSchema as error:
        print(f"crewline-operator: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


async def run(settings: Settings) -> None:
    """Run until a signal comes; raises if a part of the operator fails, so that the kubelet starts it anew."""
    metrics = Metrics()
    async with connect() as api:
        controller = Controller(api, settings, metrics)
        async with serve_http(settings.http_port, metrics, lambda: controller.ready) as port:
            log.info("/healthz, /readyz and /metrics are on port %d", port)
            working = asyncio.create_task(controller.run(), name="controller")

            async def stop_working() -> None:
                working.cancel()
                await asyncio.wait({working})

            stop = asyncio.Event()
            registry = make_registry(controller.on_object, stop_working)
            watching = asyncio.create_task(run_kopf(settings, registry, stop=stop), name="kopf")
            await asyncio.wait({watching, working}, return_when=asyncio.FIRST_COMPLETED)
            # kopf ends at SIGTERM and takes the controller with it; the controller ends by itself only by failing.
            stop.set()
            await asyncio.wait({watching})
            await stop_working()
            results = await asyncio.gather(watching, working, return_exceptions=True)
            for result in results:
                if isinstance(result, Exception):
                    raise result


def _set_up_logging(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("kopf").setLevel(logging.DEBUG if level == "DEBUG" else logging.WARNING)
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
