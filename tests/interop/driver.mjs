// A BullMQ client that pytest drives: one JSON request a line on stdin, one JSON answer or event a line on stdout.
//
//   node driver.mjs bullmq5|bullmq6 PORT
//
//   {id, op: "hello"}                             answered as soon as BullMQ is loaded
//   {id, op: "open", kind: "Queue" | "Worker" | "QueueEvents" | "FlowProducer", as, queue, options}
//   {id, op: "call", on, method, args}           a method of what was opened
//   {id, op: "job", on, job, method?, args}      a method of a job of the Queue `on`; the job itself without one
//   {id, op: "fetch", on}                        lets a Worker opened with `manual` begin one job, if there is one
//   {id, op: "finish", on, cancelled?}           lets it play that job; or cancels it, which BullMQ leaves to the handler
//   {id, op: "close", on}
//
// Answers: {id, value} or {id, error}. Events: {from, event, ...}. An argument {handle: NAME} stands for that object.
import { createInterface } from 'node:readline';

const [flavour, port] = process.argv.slice(2);
const { FlowProducer, Job, Queue, QueueEvents, UnrecoverableError, Worker } = await import(flavour);

const FIELDS = [
  'id', 'name', 'data', 'opts', 'timestamp', 'delay', 'priority', 'attemptsMade', 'attemptsStarted', 'stalledCounter',
  'progress', 'returnvalue', 'failedReason', 'stacktrace', 'processedOn', 'processedBy', 'finishedOn',
];
const EVENTS = [
  'added', 'active', 'cleaned', 'completed', 'delayed', 'drained', 'duplicated', 'failed', 'paused', 'progress',
  'removed', 'resumed', 'retries-exhausted', 'stalled', 'waiting',
];
const opened = new Map();

const say = (message) => process.stdout.write(JSON.stringify(message) + '\n');

const plain = (value) => {
  if (value instanceof Job) return Object.fromEntries(FIELDS.map((field) => [field, value[field] ?? null]));
  if (value?.job instanceof Job) return plain(value.job); // the root of a flow
  if (Array.isArray(value)) return value.map(plain);
  return value;
};

// What a job's data asks its handler to do; play.py and driver.py do the same.
async function play(job) {
  const data = job.data ?? {};
  if (data.log !== undefined) await job.log(data.log);
  if (data.progress !== undefined) await job.updateProgress(data.progress);
  if (data.takesMs) await new Promise((resolve) => setTimeout(resolve, data.takesMs));
  if (data.reject !== undefined) throw new UnrecoverableError(data.reject);
  if (job.attemptsMade < (data.fails ?? 0)) throw new Error(`attempt ${job.attemptsMade + 1} failed`);
  if (data.returnsChildren) return Object.values(await job.getChildrenValues()).sort();
  return data.returns;
}

function open({ kind, as, queue, options = {} }) {
  const { manual, ...rest } = options;
  const settings = { connection: { host: '127.0.0.1', port: Number(port) }, ...rest };
  if (kind === 'Queue') opened.set(as, new Queue(queue, settings));
  if (kind === 'FlowProducer') opened.set(as, new FlowProducer(settings));
  if (kind === 'QueueEvents') {
    const events = new QueueEvents(queue, settings);
    for (const event of EVENTS) events.on(event, (args) => say({ from: as, event, ...args }));
    opened.set(as, events);
  }
  if (kind === 'Worker') {
    const handler = async (job) => {
      say({ from: as, event: 'handled', job: job.id, name: job.name, attempt: job.attemptsMade + 1, at: Date.now() });
      return play(job);
    };
    const worker = new Worker(queue, manual ? null : handler, settings);
    worker.on('stalled', (job) => say({ from: as, event: 'stalled', job }));
    opened.set(as, worker);
  }
  // An event emitter without a listener for `error` would end the process.
  opened.get(as).on('error', (error) => say({ from: as, event: 'error', message: String(error) }));
  return opened.get(as).waitUntilReady();
}

const TOKEN = 'driver';
const begun = new Map();

async function fetch(worker) {
  let job = await worker.getNextJob(TOKEN, { block: false });
  // as BullMQ's own loop does before it calls a handler
  while (job?.deferredFailure) {
    await job.moveToFailed(new UnrecoverableError(job.deferredFailure), TOKEN, false);
    job = await worker.getNextJob(TOKEN, { block: false });
  }
  begun.set(worker, job);
  return job?.id ?? null;
}

async function finish(worker, cancelled) {
  const job = begun.get(worker);
  try {
    if (cancelled) throw new UnrecoverableError(cancelled);
    await job.moveToCompleted(await play(job), TOKEN, false);
  } catch (error) {
    await job.moveToFailed(error, TOKEN, false);
  }
}

async function answer(request) {
  const args = (request.args ?? []).map((argument) => (argument?.handle ? opened.get(argument.handle) : argument));
  const target = opened.get(request.on);
  switch (request.op) {
    case 'hello':
      return null;
    case 'open':
      await open(request);
      return null;
    case 'close':
      opened.delete(request.on);
      await target.close();
      return null;
    case 'fetch':
      return fetch(target);
    case 'finish':
      return finish(target, request.cancelled);
    case 'call':
      return plain(await target[request.method](...args));
    case 'job': {
      const job = await Job.fromId(target, request.job);
      return plain(request.method ? await job[request.method](...args) : job);
    }
    default:
      throw new Error(`no such op: ${request.op}`);
  }
}

createInterface({ input: process.stdin }).on('line', async (line) => {
  const request = JSON.parse(line);
  try {
    say({ id: request.id, value: (await answer(request)) ?? null });
  } catch (error) {
    say({ id: request.id, error: String(error?.message ?? error) });
  }
}).on('close', () => process.exit(0));
