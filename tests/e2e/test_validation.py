"""What the API server refuses, with a message that names the field and the mend.

Each object is sent with `--dry-run=server`: the real admission, nothing kept.
"""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.cluster.fixtures import Cluster
from tests.manifests import shown


@pytest.fixture(scope="module")
def crds(crewline: None) -> None:
    """The CRDs of this working tree as the chart installed them: a second owner of them would stop its upgrade."""


def jobqueue(**spec: Any) -> dict[str, Any]:
    """A valid JobQueue; keyword arguments replace parts of its spec, None removes one."""
    base: dict[str, Any] = {"redis": {"url": "redis://redis:6379/0"}, "worker": {"handler": "handlers:handle"}}
    wanted = {key: value for key, value in (base | spec).items() if value is not None}
    return {
        "apiVersion": "crewline.dev/v1alpha1", "kind": "JobQueue", "metadata": {"name": "emails"}, "spec": wanted,
    }  # fmt: skip


def scheduledjob(**spec: Any) -> dict[str, Any]:
    """A valid ScheduledJob; keyword arguments replace parts of its spec."""
    base = {"queueRef": {"name": "emails"}, "schedule": "*/5 * * * *", "job": {"name": "digest"}}
    return {
        "apiVersion": "crewline.dev/v1alpha1", "kind": "ScheduledJob",
        "metadata": {"name": "digest"}, "spec": base | spec,
    }  # fmt: skip


PASSWORD = {"passwordFrom": {"secretKeyRef": {"name": "redis", "key": "password"}}}
TLS = {
    "ca": {"configMapKeyRef": {"name": "authority", "key": "ca.crt"}},
    "clientCertificate": {"secretName": "client"},
}


def send(cluster: Cluster, manifest: dict[str, Any], *options: str) -> str:
    """What kubectl said to a manifest; "" if the API server took it."""
    command = [*cluster.command, "-n", "default", "create", "--dry-run=server", *options, "-f", "-"]
    done = subprocess.run(command, input=json.dumps(manifest), capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stderr


def worker(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in ({"handler": "handlers:handle"} | fields).items() if value is not None}


def test_whatever_pages_and_examples_show_passes_strictly(cluster: Cluster, crds: None) -> None:
    said = {f"{each.place}: {each.kind} {each.name}": send(cluster, each.obj, "--validate=strict") for each in shown()}
    assert {place: error for place, error in said.items() if error} == {}


def test_a_valid_jobqueue_passes_in_all_its_forms(cluster: Cluster, crds: None) -> None:
    secret = {"urlFrom": {"secretKeyRef": {"name": "redis", "key": "url"}}}
    program = {"command": ["node", "worker.js"], "image": "mails:3"}
    for accepted in (
        jobqueue(),
        jobqueue(redis=secret, worker=program, deadLetter={"queue": "graveyard"}),
        jobqueue(redis={"url": "rediss://redis:7000", "database": 3, "username": "app"} | PASSWORD),
        jobqueue(redis={"url": "rediss://[fd00::1]:7000/", "tls": {"ca": secret["urlFrom"]}}),
        jobqueue(redis={"sentinel": {"masterName": "main", "hosts": ["s1", "s2.data.svc:7000"]}, "tls": {}}),
        jobqueue(redis={"sentinel": {"masterName": "m", "hosts": ["s"], "username": "u"} | PASSWORD} | PASSWORD),
        jobqueue(redis={"cluster": {"hosts": ["10.0.0.1:7000", "[fd00::1]"]}, "tls": TLS, "prefix": "{bull}"}),
        jobqueue(worker=worker(code={"configMap": "c"}, concurrency=1, env=[{"name": "A", "value": "b"}])),
        jobqueue(worker=worker(retryWith={"memory": 1073741824})),
        jobqueue(worker=worker(retryWith={"memory": "1Gi"}, resources={"limits": {"memory": "1023Mi"}})),
        jobqueue(worker=worker(disruption={"budget": {"maxUnavailable": 1}, "whileBusy": "DoNotDisrupt"})),
        jobqueue(worker=worker(disruption={"budget": {"maxUnavailable": "100%"}})),
        jobqueue(scaling={"minReplicas": 3, "maxReplicas": 3}, queue="a.b_c-d", replicas=2),
        jobqueue(scaling={"mode": "External", "target": {"jobsPerReplica": 20}, "hold": True}),
        jobqueue(scaling={"target": {"latencyObjectiveSeconds": 30}, "behavior": {"panicWindowSeconds": 60}}),
        jobqueue(scaling={"target": {"utilizationPercent": 70}, "fallback": {"replicas": 10}}),
        jobqueue(
            defaults={"attempts": 5, "backoff": {"type": "Fixed", "jitter": 0.5}},
            retention={"completed": {"count": 0}, "failed": {"ageSeconds": 60}},
            limits={"concurrency": 1, "rate": {"max": 1}},
        ),
    ):
        assert send(cluster, accepted) == ""


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (jobqueue(queue=""), ["spec.queue is empty", "leave spec.queue out"]),
        (jobqueue(queue="a:b"), ["spec.queue contains ':'", "use another character"]),
        (jobqueue(deadLetter={"queue": "emails"}, queue="emails"), ["spec.deadLetter.queue is the queue itself"]),
        (
            jobqueue(redis={"urlFrom": {"secretKeyRef": {"name": "../../b/secrets/redis", "key": "url"}}}),
            ["spec.redis.urlFrom.secretKeyRef.name is no Secret's name", "use lower-case letters"],
        ),
        (
            jobqueue(worker=worker(code={"configMap": "a/b"})),
            ["spec.worker.code.configMap is no ConfigMap's name", "use lower-case letters"],
        ),
        (
            jobqueue(defaults={"backoff": {"type": "fixed"}}),
            ["spec.defaults.backoff.type", '"Exponential", "Fixed"'],
        ),
        (jobqueue(defaults={"backoff": {"jitter": 2}}), ["spec.defaults.backoff.jitter", "less than or equal to 1"]),
        (jobqueue(retention={"failed": {}}), ["spec.retention.failed", "at least 1 properties"]),
        (jobqueue(limits={"rate": {}}), ["spec.limits.rate.max", "Required value"]),
        (jobqueue(worker=worker(concurrency=0)), ["spec.worker.concurrency", "greater than or equal to 1"]),
        (
            jobqueue(scaling={"minReplicas": 5, "maxReplicas": 2}),
            ["spec.scaling.maxReplicas is less than spec.scaling.minReplicas", "raise maxReplicas"],
        ),
        (jobqueue(scaling={"minReplicas": 11}), ["less than spec.scaling.minReplicas"]),
        (jobqueue(scaling={"mode": "operator"}), ["spec.scaling.mode", '"Operator", "External"']),
        (
            jobqueue(scaling={"target": {"jobsPerReplica": 1, "utilizationPercent": 1}}),
            ["spec.scaling.target: jobsPerReplica, latencyObjectiveSeconds and utilizationPercent exclude", "keep one"],
        ),
        (
            jobqueue(scaling={"target": {"latencyObjectiveSeconds": 1, "utilizationPercent": 1}}),
            ["spec.scaling.target: jobsPerReplica, latencyObjectiveSeconds and utilizationPercent exclude", "keep one"],
        ),
        (jobqueue(scaling={"target": {}}), ["spec.scaling.target has none of jobsPerReplica", "add one, or remove"]),
        (
            jobqueue(scaling={"target": {"utilizationPercent": 101}}),
            ["utilizationPercent", "than or equal to 100"],
        ),
        (
            jobqueue(scaling={"fallback": {"replicas": 11}}),
            ["spec.scaling.fallback.replicas is more than spec.scaling.maxReplicas", "raise maxReplicas"],
        ),
        (jobqueue(scaling={"fallback": {"afterSeconds": 9}}), ["spec.scaling.fallback.replicas", "Required value"]),
        (
            jobqueue(scaling={"behavior": {"stableWindowSeconds": 5}}),
            ["spec.scaling.behavior.panicWindowSeconds is more than stableWindowSeconds", "raise stableWindowSeconds"],
        ),
        (
            jobqueue(worker=worker(command=["node"], image="i")),
            ["spec.worker.handler and spec.worker.command exclude each other", "remove one"],
        ),
        (jobqueue(worker={"concurrency": 1}), ["neither handler nor command", "add handler (module:function)"]),
        (jobqueue(worker={"command": ["node"]}), ["spec.worker.command needs spec.worker.image", "name the image"]),
        (
            jobqueue(worker={"command": ["n"], "image": "i", "code": {"configMap": "c"}}),
            ["spec.worker.code is only for a handler", "add spec.worker.handler"],
        ),
        (
            jobqueue(worker={"command": ["n"], "image": "i", "retryWith": {"memory": "1Gi"}}),
            ["spec.worker.retryWith is only for a handler", "remove one"],
        ),
        (
            jobqueue(worker=worker(retryWith={"memory": "1Gi"}, onOOM="DeadLetter")),
            ["spec.worker.retryWith is for a job that runs again", "remove one"],
        ),
        (
            jobqueue(worker=worker(retryWith={"memory": "1Gi"}, resources={"limits": {"memory": "1024Mi"}})),
            ["spec.worker.retryWith.memory is not more than spec.worker.resources.limits.memory", "raise it"],
        ),
        (
            jobqueue(worker=worker(retryWith={"memory": 1000}, resources={"limits": {"memory": 1000}})),
            ["spec.worker.retryWith.memory is not more than spec.worker.resources.limits.memory", "raise it"],
        ),
        (
            jobqueue(worker=worker(retryWith={"memory": 0})),
            ["spec.worker.retryWith.memory is no amount", "such as 1Gi"],
        ),
        (jobqueue(worker=worker(retryWith={"memory": "much"})), ["spec.worker.retryWith.memory"]),
        (jobqueue(worker=worker(retryWith={})), ["spec.worker.retryWith.memory", "Required value"]),
        (jobqueue(worker=worker(handler="handle")), ["spec.worker.handler is not module:function", "handlers:handle"]),
        (jobqueue(worker=worker(execution="process")), ["spec.worker.execution", '"Async", "Thread"']),
        (
            jobqueue(worker=worker(env=[{"name": "CREWLINE_QUEUE", "value": "x"}])),
            ["spec.worker.env", "set by the operator", "another name"],
        ),
        (
            jobqueue(worker=worker(disruption={"budget": {"maxUnavailable": 0}})),
            ["spec.worker.disruption.budget.maxUnavailable is neither", "no node could be drained"],
        ),
        (
            jobqueue(worker=worker(disruption={"budget": {"maxUnavailable": "0%"}})),
            ["spec.worker.disruption.budget.maxUnavailable is neither", "no node could be drained"],
        ),
        (jobqueue(worker=worker(disruption={"budget": {}})), ["budget.maxUnavailable", "Required value"]),
        (jobqueue(worker=worker(disruption={"whileBusy": "Refuse"})), ["whileBusy", '"Allow", "DoNotDisrupt"']),
        (jobqueue(redis={}), ["spec.redis has none of url, urlFrom, sentinel and cluster", "add url"]),
        (
            jobqueue(redis={"url": "redis://r", "urlFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
            ["spec.redis: url, urlFrom, sentinel and cluster exclude each other", "keep one"],
        ),
        (
            jobqueue(redis={"url": "redis://r", "cluster": {"hosts": ["n1"]}}),
            ["spec.redis: url, urlFrom, sentinel and cluster exclude each other", "keep one"],
        ),
        (
            jobqueue(redis={"url": "redis://:secret@redis"}),
            ["spec.redis.url has a user or a password in it", "spec.redis.passwordFrom", "urlFrom"],
        ),
        (
            jobqueue(redis={"url": "redis://redis?password=secret"}),
            ["spec.redis.url has options", "use spec.redis.data"],
        ),
        (jobqueue(redis={"url": "redis://a,b:7000"}), ["spec.redis.url is not one host:port", "spec.redis.sentinel"]),
        (jobqueue(redis={"url": "redis://redis/x"}), ["spec.redis.url is not one host:port with a database's number"]),
        (
            jobqueue(redis={"url": "redis://redis/1", "database": 1}),
            ["spec.redis.database and the database at the end of spec.redis.url exclude each other", "remove one"],
        ),
        (
            jobqueue(redis={"cluster": {"hosts": ["n1"]}, "database": 1}),
            ["spec.redis.database is for url and sentinel", "remove database"],
        ),
        (
            jobqueue(redis={"url": "redis://redis", "tls": {}}),
            ["spec.redis.tls is for a connection with TLS", "write rediss://, or remove tls"],
        ),
        (
            jobqueue(redis={"url": "rediss://redis", "tls": {"ca": {}}}),
            ["spec.redis.tls.ca has not exactly one of secretKeyRef and configMapKeyRef", "keep one"],
        ),
        (
            jobqueue(redis={"url": "rediss://redis", "tls": {"clientCertificate": {"secretName": "../x"}}}),
            ["spec.redis.tls.clientCertificate.secretName is no Secret's name", "use lower-case letters"],
        ),
        (
            jobqueue(redis={"url": "redis://r", "passwordFrom": {"secretKeyRef": {"name": "a/b", "key": "k"}}}),
            ["spec.redis.passwordFrom.secretKeyRef.name is no Secret's name", "use lower-case letters"],
        ),
        (
            jobqueue(redis={"sentinel": {"masterName": "main", "hosts": ["redis://s1"]}}),
            ["spec.redis.sentinel.hosts: an entry is no host:port", "write it as in redis-0.redis.shop.svc:26379"],
        ),
        (
            jobqueue(redis={"sentinel": {"masterName": "a/b", "hosts": ["s1"]}}),
            ["spec.redis.sentinel.masterName is no master's name", "use letters, digits"],
        ),
        (jobqueue(redis={"sentinel": {"hosts": ["s1"]}}), ["spec.redis.sentinel.masterName", "Required value"]),
        (jobqueue(redis={"cluster": {"hosts": []}}), ["spec.redis.cluster.hosts", "at least 1 items"]),
        (
            jobqueue(redis={"cluster": {"hosts": ["n1:x"]}}),
            ["spec.redis.cluster.hosts: an entry is no host:port", "write it as in redis-0.redis.shop.svc:6379"],
        ),
        (
            jobqueue(worker=worker(env=[{"name": "CREWLINE_REDIS_PASSWORD", "value": "x"}])),
            ["spec.worker.env", "set by the operator", "another name"],
        ),
        (jobqueue(redis={"url": "http://redis"}), ["spec.redis.url is not a Redis URL", "redis://host:6379/0"]),
        (jobqueue(redis={"url": "redis://r", "prefix": "a:b"}), ["spec.redis.prefix", "use a plain word"]),
        (jobqueue(deadLetter={"queue": "a:b"}), ["spec.deadLetter.queue", "such as emails-dlq"]),
        (
            jobqueue(deadLetter={"queue": "d", "disabled": True}),
            ["spec.deadLetter.queue and spec.deadLetter.disabled ex"],
        ),
        (jobqueue(queue="q", deadLetter={"queue": "q"}), ["spec.deadLetter.queue is the queue itself"]),
        (jobqueue(worker=None), ["spec.worker", "Required value"]),
    ],
    ids=lambda value: value[0][:50] if isinstance(value, list) else "",
)
def test_a_wrong_jobqueue_is_refused_with_field_and_mend(
    cluster: Cluster, crds: None, manifest: dict[str, Any], says: list[str]
) -> None:
    refusal = send(cluster, manifest)
    assert "is invalid" in refusal
    assert all(part in refusal for part in says), refusal


@pytest.mark.parametrize(
    ("manifest", "field"),
    [
        (jobqueue(worker=worker(concurency=5)), "spec.worker.concurency"),
        (jobqueue(replica=5), "spec.replica"),
        (jobqueue(scaling={"jobsPerReplica": 5}), "spec.scaling.jobsPerReplica"),
        (scheduledjob(timezone="Europe/Berlin"), "spec.timezone"),
    ],
)
def test_an_unknown_field_is_refused_by_name(
    cluster: Cluster, crds: None, manifest: dict[str, Any], field: str
) -> None:
    assert f'unknown field "{field}"' in send(cluster, manifest, "--validate=strict")


def test_any_job_data_passes_strict_validation(cluster: Cluster, crds: None) -> None:
    data = {"to": ["a@example.com"], "nested": {"any": {"thing": 1.5}}}
    assert send(cluster, scheduledjob(job={"name": "digest", "data": data}), "--validate=strict") == ""


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * * *", "*/5 * * * *", "0 9 * * MON-FRI", "15,45 8-18/2 1,15 JAN,jul *", "0 0 L * *", "0 12 * * FRI#2",
        "0 12 * * 5L", "*/10 * * * * *", "30 0 0 1 1 *", "5/15  * * * *", "22-23,0-5 * * * *", "0 0 31 JAN,MAR *",
        "0 0 1 JAN-3,4-dec MON-5,0-SAT", "0 0 * * FRI-7",
    ],
)  # fmt: skip
def test_a_cron_expression_passes(cluster: Cluster, crds: None, schedule: str) -> None:
    assert send(cluster, scheduledjob(schedule=schedule)) == ""


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        ("* * * *", "is not a cron expression of 5 or 6 fields: write minute hour day-of-month"),
        ("@hourly", "is not a cron expression of 5 or 6 fields"),
        ("every 5 minutes", "is not a cron expression of 5 or 6 fields"),
        ("60 * * * *", "the minute must be 0-59"),
        ("*/0 * * * *", "the minute must be 0-59"),
        ("61 * * * * *", "the second (the first of 6 fields) must be 0-59"),
        ("* 24 * * *", "the hour must be 0-23"),
        ("* * 0 * *", "the day of month must be 1-31"),
        ("* * * 13 *", "the month must be 1-12"),
        ("* * * FOO *", "the month must be 1-12"),
        ("* * * * 8", "the day of week must be 0-7"),
        ("* * * * MON#6", "the day of week must be 0-7"),
        ("30-10 * * * *", "has a range that goes down: write its lower end first"),
        ("* * * * FRI-MON", "has a range that goes down"),
        ("* * * * FRI-1", "has a range that goes down"),
        ("* * * * 6-MON", "has a range that goes down"),
        ("0 0 1 12-nov *", "has a range that goes down"),
        ("0 0 1 DEC-1 *", "has a range that goes down"),
        ("0 0 30 2 *", "names a day that its month does not have"),
        ("0 0 31 JUN *", "names a day that its month does not have"),
    ],
)
def test_a_bad_cron_expression_is_refused_by_the_field_that_is_wrong(
    cluster: Cluster, crds: None, schedule: str, says: str
) -> None:
    refusal = send(cluster, scheduledjob(schedule=schedule))
    assert "spec.schedule" in refusal
    assert says in refusal
    assert refusal.count("Invalid value") == 1, "one mistake, one message"


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC", "Etc/GMT+2", "America/Argentina/Buenos_Aires"])
def test_a_time_zone_passes(cluster: Cluster, crds: None, zone: str) -> None:
    assert send(cluster, scheduledjob(timeZone=zone)) == ""


@pytest.mark.parametrize("zone", ["Mars/Base", "Europe/Berlinn", "+02:00", "Local", "Europe/Berlin ", "../UTC"])
def test_a_bad_time_zone_is_refused(cluster: Cluster, crds: None, zone: str) -> None:
    refusal = send(cluster, scheduledjob(timeZone=zone))
    assert "spec.timeZone is not an IANA time zone: write it as in Europe/Berlin" in refusal


@pytest.mark.parametrize(
    ("manifest", "says"),
    [
        (scheduledjob(concurrencyPolicy="Skip"), ["spec.concurrencyPolicy", '"Allow", "Forbid", "Replace"']),
        (scheduledjob(startingDeadlineSeconds=0), ["spec.startingDeadlineSeconds", "greater than or equal to 1"]),
        (scheduledjob(queueRef={}), ["spec.queueRef.name", "Required value"]),
        (scheduledjob(job={"name": "x", "attempts": 0}), ["spec.job.attempts", "greater than or equal to 1"]),
        (scheduledjob(job={"name": "x", "data": [1]}), ["spec.job.data", "must be of type object"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_wrong_scheduledjob_is_refused_with_field_and_mend(
    cluster: Cluster, crds: None, manifest: dict[str, Any], says: list[str]
) -> None:
    refusal = send(cluster, manifest)
    assert all(part in refusal for part in says), refusal


def test_kubectl_explain_teaches(cluster: Cluster, crds: None) -> None:
    explained = cluster.kubectl("explain", "jobqueue.spec.scaling.idleSeconds")
    assert "Seconds without any job after which the queue goes down to minReplicas" in explained
