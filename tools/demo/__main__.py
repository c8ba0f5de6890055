"""`python -m tools.demo up` runs the demo, `python -m tools.demo down` takes away what it made."""

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from crewline import Queue
from redis.exceptions import RedisError
from rich.console import Console

from tests.cluster.errors import ClusterError
from tools.demo import answer, report
from tools.demo.cluster import Cluster
from tools.demo.install import (
    QUEUE,
    InstallFailed,
    install_chart,
    install_example,
    install_redis,
    remove_everything,
    remove_example,
)
from tools.demo.kube import Kube, Timeout
from tools.demo.work import Outcome, chunks, count_the_log

CHECK_FAILED, INTERRUPTED = 1, 130
NO_TERMINAL_COLUMNS = 120

console = Console(width=None if sys.stdout.isatty() else NO_TERMINAL_COLUMNS)


def main(arguments: list[str]) -> int:
    """Exit status 0: the demo's own check held (up), or all it made is gone (down)."""
    if arguments not in (["up"], ["down"]):
        print("usage: python -m tools.demo up|down", file=sys.stderr)
        return 2
    try:
        return asyncio.run(up() if arguments == ["up"] else down())
    except (ClusterError, InstallFailed, Timeout, RedisError) as error:
        console.print(f"demo: {error}", style="red", highlight=False, soft_wrap=True, markup=False)
        console.print("demo: what is there stays: `make demo` goes on with it, `make demo-down` takes it away")
        return CHECK_FAILED
    except KeyboardInterrupt:
        console.print("\ndemo: interrupted; `make demo` goes on with what is there, `make demo-down` takes it away")
        return INTERRUPTED


async def up() -> int:
    """From nothing to the checked answer."""
    # make says when it began: the set-up before this process is part of what a person waits for.
    began, began_at = time.monotonic(), time.time()
    cluster = Cluster()
    with step(f"Kubernetes ({cluster.how})"):
        cluster.up()
    cluster_ready = time.monotonic()
    with step("images of worker, operator and Redis"):
        operator_version = cluster.load_images()
    async with Kube(cluster.kubeconfig) as kube:
        with step("the chart charts/crewline"):
            await install_chart(cluster.helm, cluster.kubeconfig, cluster.registry, operator_version)
        with step("examples/redis"):
            await install_redis(kube)
        async with cluster.redis() as url, Queue(QUEUE, redis=url) as queue:
            with step("examples/access-log: handlers in a ConfigMap, two JobQueues, a ScheduledJob"):
                await remove_example(kube, queue.redis)
                await install_example(kube)
            installed = time.monotonic()
            outcome = await count_the_log(console, kube, queue)
    held = show(outcome)
    report.show_times(
        console,
        outcome.times,
        cluster_seconds=cluster_ready - began,
        install_seconds=installed - cluster_ready,
        total=time.time() - float(os.environ.get("CREWLINE_BEGAN", began_at)),
    )
    report.show_next(console, cluster.next_commands())
    return 0 if held else CHECK_FAILED


async def down() -> int:
    """The cluster that the demo made, or on somebody else's what the demo put there."""
    cluster = Cluster()
    if cluster.ours:
        cluster.down()
    else:
        await remove_everything(cluster.helm, cluster.kubeconfig)
    console.print("demo: gone")
    return 0


def show(outcome: Outcome) -> bool:
    """Prints answer and dead letters; says whether the answer is right."""
    found = answer.from_jobs(outcome.return_values, (letter.chunk for letter in outcome.letters))
    wrong = answer.differences(found, answer.from_files(chunks()))
    report.show_answer(console, found, wrong)
    report.show_letters(console, outcome.letters)
    report.show_schedule(console, outcome.schedule)
    return not wrong


@contextmanager
def step(what: str) -> Iterator[None]:
    """Says what is done now, and how long it took."""
    began = time.monotonic()
    console.print(f"demo: {what} ...", highlight=False)
    yield
    console.print(f"demo:   done in {time.monotonic() - began:.1f} s", style="green", highlight=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
