"""One trace over both languages: what bullmq-otel and crewline.tracing write on a job, each reads of the other."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from crewline import Job, Queue, Worker
from crewline.tracing import OpenTelemetryTracing, current_trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tests.interop.peers import ANSWER_SECONDS, HERE, START_SECONDS
from tests.redis_server import RedisServer

#: OpenTelemetry's number for it in JavaScript.
CONSUMER = 4


async def _peer(duty: str, server: RedisServer, queue: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        "node", "otel.mjs", duty, str(server.port), queue, cwd=HERE, stdout=asyncio.subprocess.PIPE
    )
    try:
        out, _ = await asyncio.wait_for(process.communicate(), START_SECONDS + ANSWER_SECONDS)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    told: dict[str, Any] = json.loads(out)
    return told


async def test_a_run_of_ours_is_a_child_of_the_span_their_producer_added_it_in(
    server: RedisServer, queue: Queue
) -> None:
    added = await _peer("add", server, queue.name)
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def handle(job: Job) -> None:
        pass

    worker = Worker(queue.name, handle, redis=server.url, middleware=[OpenTelemetryTracing(provider)])
    working = asyncio.create_task(worker.run())
    job = await queue.get_job(added["jobId"])
    assert job is not None
    await job.result(timeout=ANSWER_SECONDS)
    await worker.stop()
    await working
    (span,) = exporter.get_finished_spans()
    assert span.context and span.parent
    assert f"{span.context.trace_id:032x}" == added["traceId"]
    assert f"{span.parent.span_id:016x}" in added["spanIds"]


async def test_a_run_of_theirs_is_a_child_of_the_span_our_producer_added_it_in(
    server: RedisServer, queue: Queue
) -> None:
    with TracerProvider().get_tracer("tests").start_as_current_span("checkout") as producing:
        await queue.add("ours", {"n": 1}, trace=current_trace())
    context = producing.get_span_context()
    told = await _peer("work", server, queue.name)
    runs = [span for span in told["spans"] if span["kind"] == CONSUMER]
    assert runs, told
    assert {run["traceId"] for run in runs} == {f"{context.trace_id:032x}"}
    assert f"{context.span_id:016x}" in {run["parentId"] for run in runs}
