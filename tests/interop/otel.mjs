// BullMQ with bullmq-otel, for test_tracing.py: `node otel.mjs add|work PORT QUEUE`; prints one line of JSON.
//   add   adds a job inside a span "checkout":  {"jobId", "traceId", "spanIds": of all that were made}
//   work  works until one job has ended:        {"spans": [{"name", "kind", "traceId", "parentId"}]}
import { trace } from "@opentelemetry/api";
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-node";
import { Queue, Worker } from "bullmq6";
import { BullMQOtel } from "bullmq-otel";

const [, , duty, port, name] = process.argv;
const exporter = new InMemorySpanExporter();
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();
const options = {
  connection: { host: "127.0.0.1", port: Number(port), maxRetriesPerRequest: null },
  telemetry: new BullMQOtel("peer"),
};

async function add() {
  const queue = new Queue(name, options);
  const told = await trace.getTracer("peer").startActiveSpan("checkout", async (span) => {
    const job = await queue.add("theirs", { n: 1 });
    span.end();
    return { jobId: job.id, traceId: span.spanContext().traceId };
  });
  await queue.close();
  return { ...told, spanIds: exporter.getFinishedSpans().map((span) => span.spanContext().spanId) };
}

async function work() {
  const worker = new Worker(name, async () => "done", options);
  await new Promise((resolve) => worker.once("completed", resolve));
  await worker.close();
  const spans = exporter.getFinishedSpans().map((span) => ({
    name: span.name,
    kind: span.kind,
    traceId: span.spanContext().traceId,
    parentId: span.parentSpanContext?.spanId ?? null,
  }));
  return { spans };
}

console.log(JSON.stringify(await (duty === "add" ? add() : work())));
