"""crewline.  At-least-once: a lease a job, renewed by a thread; what a dead worker held is run by another.  State
kept: the job's hash and the completed set, for ever (`remove_on_complete=False`), as with bullmq.  Bulk:
Queue.add_bulk."""

import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # last: the library of the same name wins

import _common as c
from crewline import Keep, Queue, Worker

KEPT = {"remove_on_complete": False}


async def handle(job):
    return c.hit(job.data) if job.name == "noop" else await c.nap(job.data)


def handle_in_thread(job):
    return c.hit(job.data) if job.name == "noop" else c.nap_sync(job.data)


class P(c.Peer):
    uvloop = True

    async def connect(self):
        self.q = Queue("b", redis=c.URL)
        await self.q.redis.ping()

    async def enqueue_all(self, kind, payloads):
        await self.q.add_bulk((kind, p, KEPT) for p in payloads)

    async def enqueue_one(self, kind, p):
        await self.q.add("noop", p, **KEPT)

    def run_worker(self):
        handler = handle_in_thread if c.VARIANT == "crewline-thread" else handle

        async def go():
            await Worker("b", handler, redis=c.URL, concurrency=c.CONC, keep_completed=Keep()).run()

        c.run_async(go, self.uvloop)

    def pending(self, r):
        return c.N + c.WARM - r("ZCARD", "bull:b:completed")


c.main(P)
