"""bullmq, the Python port.  At-least-once: a lock with a lease a job, renewed by
the worker; a stalled check returns jobs whose lock has run out.  State kept:
the job's hash and the completed set, for ever.  Bulk: Queue.addBulk."""

import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # last: the library of the same name wins

import _common as c
from bullmq import Queue, Worker

CONN = {"host": "127.0.0.1", "port": c.PORT}


async def handle(job, token):
    return c.hit(job.data) if job.name == "noop" else await c.nap(job.data)


class P(c.Peer):
    uvloop = True

    async def connect(self):
        self.q = Queue("b", {"connection": CONN})
        await self.q.client.ping()

    async def enqueue_all(self, kind, payloads):
        size = c.OPTS.get("batch", 1000)
        for k in range(0, len(payloads), size):
            await self.q.addBulk([{"name": kind, "data": p} for p in payloads[k : k + size]])

    async def enqueue_one(self, kind, p):
        await self.q.add("noop", p)

    def run_worker(self):
        async def go():
            w = Worker("b", handle, {"connection": CONN, "concurrency": c.CONC, "autorun": False})
            await w.run()

        c.run_async(go, self.uvloop)

    def pending(self, r):
        return c.N + c.WARM - r("ZCARD", "bull:b:completed")


c.main(P)
