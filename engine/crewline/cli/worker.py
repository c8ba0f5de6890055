"""``crewline worker``: one worker process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from pathlib import Path
from typing import Annotated

import typer

from crewline.cli import logs, process
from crewline.cli.common import (
    DEFAULT_PREFIX,
    DEFAULT_REDIS,
    KeepCompletedOption,
    KeepFailedOption,
    LettersOption,
    PrefixOption,
    QueueOption,
    RedisOption,
    read_keep,
)
from crewline.cli.ending import refuse, tell_end, users_part
from crewline.cli.health import Health
from crewline.cli.serving import check_ready_file, serve
from crewline.cli.usage import EXIT_FAILED, EXIT_HANDLER, EXIT_USAGE, TIME, completed_from, one_of
from crewline.errors import HandlerNotFound, InvalidOption
from crewline.wire.keys import letters_queue
from crewline.worker.handlers import loading as handlers

log = logging.getLogger("crewline.worker")

LEVEL = one_of("debug", "info", "warning", "error", "critical")


def run_worker(
    handler: Annotated[
        str,
        typer.Argument(
            envvar="CREWLINE_HANDLER",
            help="The handler, as module:function; or a module with @on routes.",
            show_default=False,
        ),
    ],
    queue: QueueOption,
    redis: RedisOption = DEFAULT_REDIS,
    prefix: PrefixOption = DEFAULT_PREFIX,
    concurrency: Annotated[
        int, typer.Option("--concurrency", "-c", envvar="CREWLINE_CONCURRENCY", min=1, help="Jobs that run at once.")
    ] = 10,
    execution: Annotated[
        str | None,
        typer.Option(
            envvar="CREWLINE_EXECUTION",
            callback=one_of("", "async", "thread", "process"),
            autocompletion=completed_from("thread", "process"),
            help="How plain functions run: thread or process; `async def` ones run on the event loop.",
            show_default="thread for `def`",
        ),
    ] = None,
    timeout_seconds: Annotated[
        float | None,
        typer.Option(
            envvar="CREWLINE_TIMEOUT_SECONDS",
            min=0,
            help="The longest a job may run.",
            show_default="no bound",
            callback=TIME,
        ),
    ] = None,
    grace_seconds: Annotated[
        float,
        typer.Option(
            envvar="CREWLINE_GRACE_SECONDS", min=0, help="How long running jobs may go on after SIGTERM.", callback=TIME
        ),
    ] = 30.0,
    lease_seconds: Annotated[
        float,
        typer.Option(
            envvar="CREWLINE_LEASE_SECONDS",
            min=0.5,
            callback=TIME,
            help="How soon others get a job whose worker has died (renewed while it lives).",
        ),
    ] = 30.0,
    max_crashes: Annotated[
        int,
        typer.Option(
            envvar="CREWLINE_MAX_CRASHES",
            min=1,
            help="How often a job may take down a process that runs nothing but it, before it fails for good.",
        ),
    ] = 3,
    on_oom: Annotated[
        str,
        typer.Option(
            envvar="CREWLINE_ON_OOM",
            callback=one_of("retry", "fail", "larger"),
            autocompletion=completed_from("retry", "fail", "larger"),
            help="A job whose own process was killed for want of memory: retry, fail for good, or wait for a larger "
            "worker.",
        ),
    ] = "retry",
    larger: Annotated[
        bool,
        typer.Option(
            "--larger",
            envvar="CREWLINE_LARGER",
            help="Run nothing but the jobs that wait for a larger worker, one at a time, and end once there are none.",
        ),
    ] = False,
    dead_letter_queue: LettersOption = None,
    keep_completed: KeepCompletedOption = None,
    keep_failed: KeepFailedOption = None,
    name: Annotated[
        str | None,
        typer.Option(envvar="CREWLINE_WORKER_NAME", help="Shown on the jobs it runs.", show_default="the host's name"),
    ] = None,
    worker_id: Annotated[
        str | None,
        typer.Option(
            envvar="CREWLINE_WORKER_ID", help="By what it is asked to drain.", show_default="a name of its own"
        ),
    ] = None,
    code_path: Annotated[
        str | None, typer.Option(envvar="CREWLINE_CODE_PATH", help="A folder to import the handler from first.")
    ] = None,
    ready_file: Annotated[
        Path | None, typer.Option(envvar="CREWLINE_READY_FILE", help="Made once the first fetch was answered.")
    ] = None,
    health_port: Annotated[
        int | None,
        typer.Option(
            envvar="CREWLINE_HEALTH_PORT",
            min=0,
            max=65535,
            help="Serve GET /ready and GET /alive there, for Kubernetes' probes.",
            show_default="none",
        ),
    ] = None,
    log_level: Annotated[
        str,
        typer.Option(
            envvar="CREWLINE_LOG_LEVEL",
            help="debug, info, warning or error.",
            callback=lambda value: LEVEL({"warn": "warning"}.get(value.lower(), value.lower())),
            autocompletion=completed_from("debug", "info", "warning", "error"),
        ),
    ] = "info",
    log_format: Annotated[
        str,
        typer.Option(
            envvar="CREWLINE_LOG_FORMAT",
            help="text, or json: an object a line.",
            callback=one_of(*logs.FORMATS),
            autocompletion=completed_from(*logs.FORMATS),
        ),
    ] = "text",
    reload: Annotated[
        bool, typer.Option("--reload", help="For development: start again whenever the handler's source changes.")
    ] = False,
) -> None:
    """Run one worker process until SIGTERM or SIGINT.

    On the first signal it stops fetching, lets running jobs end within the grace period, hands back the rest
    without using up an attempt, and exits with 0. A second signal ends it at once.

    Example: [bold]crewline worker handlers:handle --queue emails --concurrency 50[/bold]
    """
    try:
        check_ready_file(ready_file)
        letters_queue(queue, dead_letter_queue)
    except InvalidOption as error:
        refuse(str(error), EXIT_USAGE)
    # what is left out is the worker's own default
    keep = {"keep_completed": read_keep(keep_completed), "keep_failed": read_keep(keep_failed)}
    if reload:
        from crewline.cli.reload import reload_worker

        raise typer.Exit(reload_worker(handler, code_path, grace_seconds))
    try:
        # before the handler is imported, which may take long: who asks meanwhile is answered once it is
        health = None if health_port is None else Health(health_port)
    except InvalidOption as error:
        refuse(str(error), EXIT_USAGE)
    line = logs.set_up(log_level, log_format)
    from crewline.worker import Worker

    try:
        target = handlers.load_handler(handler, code_path)
    except HandlerNotFound as error:
        if error.__cause__ is not None:
            log.error("importing the handler failed", exc_info=users_part(error.__cause__))
        refuse(str(error), EXIT_HANDLER)

    async def work() -> None:
        worker = Worker(
            queue, target, redis=redis, prefix=prefix, concurrency=concurrency, name=name,
            worker_id=worker_id or None, execution=execution or None,  # type: ignore[arg-type]
            timeout_seconds=timeout_seconds or None, grace_seconds=grace_seconds, lease_seconds=lease_seconds,
            max_crashes=max_crashes, on_oom=on_oom,  # type: ignore[arg-type]
            larger=larger, dead_letter_queue=dead_letter_queue,
            **{name: value for name, value in keep.items() if value is not None},  # type: ignore[arg-type]
        )  # fmt: skip
        await serve(worker, ready_file, health, line)

    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    code = EXIT_FAILED
    try:
        process.run(work())
        code = 0
    except InvalidOption as error:
        code = EXIT_USAGE
        tell_end(str(error))
    except asyncio.CancelledError:
        tell_end("something that a handler started has cancelled all that ran here")
    except Exception as error:
        # one of its duties failed again and again, or nobody foresaw it
        log.critical("the worker has ended", exc_info=error)
        tell_end(str(error) or repr(error), "the worker has ended: ")
    process.leave(code)
