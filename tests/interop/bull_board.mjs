// bull-board, the dashboard many BullMQ fleets have, on queues of ours.
//
//   node bull_board.mjs bullmq5|bullmq6 PORT QUEUE...
//
// Prints {port}, where it serves on 127.0.0.1, as one line of JSON, and ends when stdin closes.
import Module, { createRequire } from 'node:module';

const [flavour, port, ...names] = process.argv.slice(2);

// bull-board requires plain `bullmq`, which here is installed twice, under other names: it gets the one asked for.
const resolve = Module._resolveFilename;
Module._resolveFilename = (request, ...rest) => resolve(request === 'bullmq' ? flavour : request, ...rest);
const require = createRequire(import.meta.url);
const { Queue } = require('bullmq');
const { createBullBoard } = require('@bull-board/api');
const { BullMQAdapter } = require('@bull-board/api/bullMQAdapter');
const { ExpressAdapter } = require('@bull-board/express');
const express = require('express');

const board = new ExpressAdapter();
createBullBoard({
  queues: names.map((name) => {
    const queue = new Queue(name, { connection: { host: '127.0.0.1', port: Number(port) } });
    // An event emitter without a listener for `error` would end the process.
    queue.on('error', (error) => console.error(String(error)));
    return new BullMQAdapter(queue);
  }),
  serverAdapter: board,
});

const server = express().use(board.getRouter()).listen(0, '127.0.0.1', (error) => {
  if (error) throw error;
  process.stdout.write(JSON.stringify({ port: server.address().port }) + '\n');
});
process.stdin.on('end', () => process.exit(0)).resume();
