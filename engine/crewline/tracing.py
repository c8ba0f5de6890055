"""OpenTelemetry traces that go on from whoever adds a job to whoever runs it, Node's side included.

What a job carries (``opts.tm``, `Job.trace`) is what bullmq-otel writes and reads there: a JSON object, as text, of
all that OpenTelemetry's propagator injects (``traceparent``, ``tracestate``, ``baggage``).
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, NamedTuple

from crewline.errors import InvalidPayload
from crewline.middleware import Middleware
from crewline.queue.job import Job
from crewline.wire import jsonio

try:
    from opentelemetry import context, propagate
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider, get_tracer, set_span_in_context
except ImportError as error:
    raise ImportError("crewline.tracing needs OpenTelemetry: pip install 'crewline[tracing]'") from error


def current_trace() -> str | None:
    """The active span's context, as ``queue.add(…, trace=current_trace())`` takes it; None where there is none."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return jsonio.dumps(carrier, "trace context") if carrier else None


class OpenTelemetryTracing(Middleware):
    """Makes a span of each run of each job, a child of the span it was added in; a job without one begins a trace.

    Names and attributes are those of OpenTelemetry's conventions for messaging, and those of bullmq-otel.

    Args:
        tracer_provider: where the spans go; the program's own provider if None.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = get_tracer("crewline", tracer_provider=tracer_provider)
        self._open: ContextVar[_Open | None] = ContextVar("crewline_span", default=None)

    async def before(self, job: Job) -> None:
        parent = _context_of(job.trace)
        span = self._tracer.start_span(
            f"process {job.queue_name}", context=parent, kind=SpanKind.CONSUMER, attributes=_attributes(job)
        )
        self._open.set(_Open(span, context.attach(set_span_in_context(span, parent))))

    async def after(self, job: Job, result: Any) -> None:
        self._end()

    async def failed(self, job: Job, error: BaseException) -> None:
        self._end(error)

    def _end(self, error: BaseException | None = None) -> None:
        opened = self._open.get()
        if opened is None:
            return
        if error is not None:
            opened.span.record_exception(error)
            opened.span.set_attribute("error.type", type(error).__name__)
            opened.span.set_status(StatusCode.ERROR, str(error) or type(error).__name__)
        opened.span.end()
        context.detach(opened.token)
        self._open.set(None)


class _Open(NamedTuple):
    """A span that runs, and what makes the context before it current again."""

    span: Span
    token: Any


def _context_of(trace: str | None) -> Context:
    """The context that a job carries; an empty one where it has none, or one that nobody can read.

    Not the current one: a worker that was started inside a span would hang all its jobs under that.
    """
    if not trace:
        return Context()
    carrier: Any = {"traceparent": trace}
    if trace.startswith("{"):
        try:
            carrier = jsonio.loads(trace, "trace context")
        except InvalidPayload:
            return Context()
    return propagate.extract({key: value for key, value in carrier.items() if isinstance(value, str)}, Context())


def _attributes(job: Job) -> dict[str, str | int]:
    return {
        "messaging.system": "bullmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": job.queue_name,
        "messaging.message.id": job.id,
        "bullmq.queue.name": job.queue_name,
        "bullmq.queue.operation": "process",
        "bullmq.job.id": job.id,
        "bullmq.job.name": job.name,
        "bullmq.job.attempts.made": job.attempts_made + 1,
    }
