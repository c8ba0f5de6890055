"""arq.  At-least-once: the id stays in a sorted set until the job is done, an
in-progress key with a TTL guards it.  State kept: the result, 1 hour.
No bulk call: enqueue_job is gathered, in groups.
Variants: arq (poll_delay and read limit tuned), arq-default (poll_delay 0.5 s)."""

import asyncio
import logging
import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # last: the library of the same name wins

import _common as c
from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker, func

SETTINGS = RedisSettings(host="127.0.0.1", port=c.PORT)
TUNED = {} if c.VARIANT == "arq-default" else {"poll_delay": c.OPTS.get("poll", 0.01)}


async def noop(ctx, p):
    return c.hit(p)


async def nap(ctx, p):
    return await c.nap(p)


class P(c.Peer):
    uvloop = True

    async def connect(self):
        self.pool = await create_pool(SETTINGS)

    async def enqueue_all(self, kind, payloads):
        fn = "noop" if kind == "noop" else "nap"
        width = c.OPTS.get("gather", 20)
        for k in range(0, len(payloads), width):
            await asyncio.gather(*(self.pool.enqueue_job(fn, p) for p in payloads[k : k + width]))

    async def enqueue_one(self, kind, p):
        await self.pool.enqueue_job("noop", p)

    def run_worker(self):
        logging.disable(logging.INFO)

        async def go():
            w = Worker(
                [func(noop, name="noop"), func(nap, name="nap")],
                redis_settings=SETTINGS,
                max_jobs=c.CONC,
                handle_signals=False,
                **TUNED,
            )
            await w.async_run()

        c.run_async(go, self.uvloop)

    def pending(self, r):
        return r("ZCARD", "arq:queue")


c.main(P)
