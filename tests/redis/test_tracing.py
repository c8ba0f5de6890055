"""Traces go on from the producer to the handler, in BullMQ's form."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from crewline import Job, JobFailed, Queue, SyncJob
from crewline.tracing import OpenTelemetryTracing, current_trace
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE_ID}-b7ad6b7169203331-01"


class Traced:
    """A provider whose spans are kept."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("tests")

    def runs(self) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.kind is SpanKind.CONSUMER]


@pytest.fixture
def traced() -> Iterator[Traced]:
    made = Traced()
    yield made
    made.provider.shutdown()


async def test_a_run_is_a_child_of_the_span_that_the_job_was_added_in(
    queue: Queue, start_worker: Any, traced: Traced
) -> None:
    async def handle(job: Job) -> str:
        return f"{trace.get_current_span().get_span_context().span_id:x}"

    await start_worker(handle, middleware=[OpenTelemetryTracing(traced.provider)])
    with traced.tracer.start_as_current_span("checkout") as producing:
        job = await queue.add("n", 1, trace=current_trace())
    current = await job.result(timeout=5)

    (span,) = traced.runs()
    assert span.context and span.parent
    assert span.context.trace_id == producing.get_span_context().trace_id
    assert span.parent.span_id == producing.get_span_context().span_id
    assert current == f"{span.context.span_id:x}", "the handler runs inside the span"
    assert span.name == "process emails" and span.status.status_code is StatusCode.UNSET
    assert span.attributes == {
        "messaging.system": "bullmq", "messaging.operation.name": "process", "messaging.operation.type": "process",
        "messaging.destination.name": "emails", "messaging.message.id": job.id,
        "bullmq.queue.name": "emails", "bullmq.queue.operation": "process", "bullmq.job.id": job.id,
        "bullmq.job.name": "n", "bullmq.job.attempts.made": 1,
    }  # fmt: skip


async def test_a_handler_in_a_thread_runs_inside_the_span(queue: Queue, start_worker: Any, traced: Traced) -> None:
    def handle(job: SyncJob) -> str:
        return f"{trace.get_current_span().get_span_context().span_id:x}"

    await start_worker(handle, middleware=[OpenTelemetryTracing(traced.provider)])
    current = await (await queue.add("n", 1)).result(timeout=5)
    (span,) = traced.runs()
    assert span.context and current == f"{span.context.span_id:x}"


async def test_each_failed_attempt_is_a_span_with_the_exception_and_the_status_error(
    queue: Queue, start_worker: Any, traced: Traced
) -> None:
    async def fail(job: Job) -> None:
        raise ValueError("as told")

    await start_worker(fail, middleware=[OpenTelemetryTracing(traced.provider)])
    job = await queue.add("n", 1, attempts=2, backoff=0)
    with pytest.raises(JobFailed):
        await job.result(timeout=5)
    spans = traced.runs()
    assert [span.attributes and span.attributes["bullmq.job.attempts.made"] for span in spans] == [1, 2]
    for span in spans:
        assert span.status.status_code is StatusCode.ERROR and span.status.description == "as told"
        assert span.attributes and span.attributes["error.type"] == "ValueError"
        assert [event.attributes and event.attributes["exception.message"] for event in span.events] == ["as told"]


async def test_a_job_without_a_trace_begins_one_even_in_a_worker_that_was_started_in_a_span(
    queue: Queue, start_worker: Any, traced: Traced
) -> None:
    async def handle(job: Job) -> None: ...

    with traced.tracer.start_as_current_span("program") as program:
        await start_worker(handle, middleware=[OpenTelemetryTracing(traced.provider)])
    for number in range(2):
        await (await queue.add("n", number)).result(timeout=5)
    spans = traced.runs()
    assert [span.parent for span in spans] == [None, None]
    known = {span.context.trace_id for span in spans if span.context} | {program.get_span_context().trace_id}
    assert len(known) == 3


@pytest.mark.parametrize(
    "carried",
    [
        # as JSON.stringify in bullmq-otel writes it, and a bare one
        f'{{"traceparent":"{TRACEPARENT}","tracestate":"vendor=1"}}',
        TRACEPARENT,
    ],
)
async def test_a_trace_that_node_began_goes_on(carried: str, queue: Queue, start_worker: Any, traced: Traced) -> None:
    async def handle(job: Job) -> None: ...

    await start_worker(handle, middleware=[OpenTelemetryTracing(traced.provider)])
    await (await queue.add("n", 1, trace=carried)).result(timeout=5)
    (span,) = traced.runs()
    assert span.context and f"{span.context.trace_id:x}".zfill(32) == TRACE_ID


@pytest.mark.parametrize("carried", ["{oops", "nonsense", '{"traceparent": 5}', "{}"])
async def test_a_trace_that_nobody_can_read_begins_a_new_one(
    carried: str, queue: Queue, start_worker: Any, traced: Traced
) -> None:
    async def handle(job: Job) -> str:
        return "fine"

    await start_worker(handle, middleware=[OpenTelemetryTracing(traced.provider)])
    assert await (await queue.add("n", 1, trace=carried)).result(timeout=5) == "fine"
    assert [span.parent for span in traced.runs()] == [None]


def test_the_current_trace_is_what_node_reads_and_none_outside_a_span(traced: Traced) -> None:
    assert current_trace() is None
    with traced.tracer.start_as_current_span("checkout") as span:
        told = current_trace()
    assert told is not None
    own = span.get_span_context()
    assert json.loads(told) == {"traceparent": f"00-{own.trace_id:032x}-{own.span_id:016x}-{own.trace_flags:02x}"}
