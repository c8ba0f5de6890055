"""celery (Redis transport).  Variants:
  celery       the defaults: acked when received (early), no result backend:
               at-most-once for the handler
  celery-late  task_acks_late and the Redis result backend (results 1 day):
               at-least-once by the visibility timeout (1 hour)
Bulk: apply_async(producer=...) inside kombu's Producer.batch().
Pools: prefork, threads, solo, gevent (opts.pool)."""

import os
import sys

sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # last: the library of the same name wins

if len(sys.argv) > 2 and '"gevent"' in sys.argv[2] and sys.argv[1] == "worker":
    from gevent import monkey

    monkey.patch_all()

import _common as c
from celery import Celery

app = Celery("b", broker=c.URL)
app.conf.task_default_queue = "b"
app.conf.worker_prefetch_multiplier = c.OPTS.get("prefetch", 4)
app.conf.broker_connection_retry_on_startup = True
if c.VARIANT == "celery-late":
    app.conf.task_acks_late = True
    app.conf.result_backend = c.URL


@app.task(name="noop")
def noop(p):
    return c.hit(p)


@app.task(name="nap")
def nap(p):
    return c.nap_sync(p)


class P(c.Peer):
    def connect(self):
        self.conn = app.connection_for_write()
        self.producer = app.amqp.Producer(self.conn)
        self.conn.ensure_connection()

    def enqueue_all(self, kind, payloads):
        fn = noop if kind == "noop" else nap
        if not c.OPTS.get("batch", 1000):
            for p in payloads:
                fn.apply_async((p,))
            return
        with self.producer.batch(c.OPTS.get("batch", 1000)):
            for p in payloads:
                fn.apply_async((p,), producer=self.producer)

    def enqueue_one(self, kind, p):
        noop.delay(p)

    def run_worker(self):
        app.worker_main(
            [
                "worker",
                "--pool",
                c.OPTS.get("pool", "prefork"),
                "-c",
                str(c.CONC),
                "-l",
                "WARNING",
                "--without-gossip",
                "--without-mingle",
            ]
        )

    def pending(self, r):
        return r("LLEN", "b") + r("HLEN", "unacked")


c.main(P)
