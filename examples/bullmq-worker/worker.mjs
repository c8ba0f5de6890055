// A BullMQ worker as a JobQueue runs it: what it has to know is in its environment, and SIGTERM lets it finish its jobs.
import { Worker } from 'bullmq';

const { CREWLINE_QUEUE, CREWLINE_REDIS_URL, CREWLINE_PREFIX, CREWLINE_CONCURRENCY } = process.env;

async function handle(job) {
  await new Promise((done) => setTimeout(done, job.data.milliseconds ?? 0));
  await job.updateProgress(100);
  return { pid: process.pid };
}

const worker = new Worker(CREWLINE_QUEUE, handle, {
  connection: { url: CREWLINE_REDIS_URL },
  prefix: CREWLINE_PREFIX,
  concurrency: Number(CREWLINE_CONCURRENCY),
});
worker.on('failed', (job, error) => console.error(`job ${job?.id}: ${error.message}`));
worker.on('error', (error) => console.error(error.message));

for (const signal of ['SIGTERM', 'SIGINT']) {
  process.once(signal, async () => {
    // Takes no more jobs, and waits for those that run: spec.worker.gracePeriodSeconds is their time.
    await worker.close();
    process.exit(0);
  });
}
