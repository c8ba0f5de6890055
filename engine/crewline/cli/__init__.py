"""The ``crewline`` command: run workers, add jobs, look at queues, replay the dead.

Exit codes: 0 done; 1 it failed; 2 wrong usage; 3 Redis can't be reached; 78 the handler can't be imported.
"""

from __future__ import annotations

import typer

from crewline.cli import dlq, elsewhere, ending, enqueue, jobs, limits, metrics, queues, settings, top, worker
from crewline.cli.usage import Command, Commands

app = typer.Typer(
    name="crewline",
    cls=Commands,
    help="Redis job queues on BullMQ's layout: run workers, add jobs, look at queues, replay the dead.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Where a queue is can come from the environment (--queue from CREWLINE_QUEUE, --redis from "
    "CREWLINE_REDIS_URL, ...), and so can a worker's options. Exit codes: 0 done, 1 failed, 2 usage, 3 no Redis, "
    "78 no handler.",
)
app.command("worker", cls=ending.WorkerCommand)(worker.run_worker)
app.command("enqueue")(enqueue.enqueue)
app.command("metrics")(metrics.metrics)
app.command("queues")(queues.queues)
app.command("limits")(limits.limits)
app.command("settings")(settings.settings)
app.command("top")(top.top)
app.command("events")(queues.events)
app.command("pause")(queues.pause)
app.command("resume")(queues.resume)
app.command("clean")(queues.clean)
app.command("simulate", context_settings=elsewhere.PASSED_ON)(elsewhere.simulate)
app.add_typer(jobs.app, name="jobs")
app.add_typer(dlq.app, name="dlq")
for each in (app, jobs.app, dlq.app):
    for command in each.registered_commands:
        if not issubclass(command.cls or object, Command):
            command.cls = Command
