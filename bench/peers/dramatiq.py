"""dramatiq (RedisBroker).  At-least-once: fetched ids go to a per-worker ack set,
returned when the worker's heartbeat stops.  State kept: none (no result
backend is the default).  No bulk call: send() one by one.  Threads; async
actors would run on one loop thread but still take a worker thread each."""

import logging
import os
import sys
import time

sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # last: the library of the same name wins

import _common as c

if c.OPTS.get("prefetch"):
    os.environ["dramatiq_queue_prefetch"] = str(c.OPTS["prefetch"])
import dramatiq
from dramatiq.brokers.redis import RedisBroker

broker = RedisBroker(host="127.0.0.1", port=c.PORT)
dramatiq.set_broker(broker)


@dramatiq.actor(actor_name="noop", queue_name="b")
def noop(p):
    c.hit(p)


@dramatiq.actor(actor_name="nap", queue_name="b")
def nap(p):
    c.nap_sync(p)


class P(c.Peer):
    def connect(self):
        broker.client.ping()

    def enqueue_all(self, kind, payloads):
        fn = noop if kind == "noop" else nap
        for p in payloads:
            fn.send(p)

    def enqueue_one(self, kind, p):
        noop.send(p)

    def run_worker(self):
        logging.disable(logging.INFO)
        dramatiq.Worker(broker, worker_threads=c.CONC).start()
        while True:
            time.sleep(1)

    def pending(self, r):
        return r("HLEN", "dramatiq:b.msgs")


c.main(P)
