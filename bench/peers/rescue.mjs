// One BullMQ worker process for rescue.py, until it is killed: PORT CONCURRENCY LEASE_MS SLEEP_MS.  It looks for stalled
// jobs once a lease, which is BullMQ's default ratio.
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const require = createRequire(process.env.BENCH_HOME + '/node/x.js');
const { Worker } = require('bullmq');

const [port, concurrency, lease, nap] = process.argv.slice(2).map(Number);
const connection = { host: '127.0.0.1', port, maxRetriesPerRequest: null };
const options = { connection, concurrency, lockDuration: lease, stalledInterval: lease, maxStalledCount: 5 };
new Worker('b', () => sleep(nap), options).on('error', (e) => console.error(e));
