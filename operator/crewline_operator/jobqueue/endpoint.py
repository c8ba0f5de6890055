"""The Redis that a JobQueue names, in its spec or in a Secret."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.kube.api import SECRETS, Api
from crewline_operator.model.fault import Fault
from crewline_operator.redis.endpoint import Endpoint
from crewline_operator.redis.urls import parse_redis_url


async def resolve_endpoint(api: Api, jobqueue: JobQueue) -> Endpoint | Fault:
    """Find a JobQueue's Redis; reads its Secret if it names one. Raises what `Api.find` raises."""
    if jobqueue.redis_secret is None:
        return parse_redis_url(jobqueue.redis_url or "", jobqueue.namespace, "spec.redis.url")
    name, key = jobqueue.redis_secret.name, jobqueue.redis_secret.key
    secret = await api.find(SECRETS, jobqueue.namespace, name)
    if secret is None:
        return Fault(
            "MissingSecret",
            f"spec.redis.urlFrom: there is no Secret {name!r} in namespace {jobqueue.namespace!r}: "
            f"create it with the Redis URL in key {key!r}, or name another",
        )
    encoded = (secret.get("data") or {}).get(key)
    if encoded is None:
        return Fault(
            "MissingSecret",
            f"spec.redis.urlFrom: Secret {name!r} has no key {key!r}: add it with the Redis URL, or name another key",
        )
    where = f"key {key!r} of Secret {name!r}"
    try:
        url = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return Fault("InvalidRedisURL", f"{where} is not text: write redis://[user:password@]host:6379/0")
    endpoint = parse_redis_url(url.strip(), jobqueue.namespace, where)
    if isinstance(endpoint, Fault):
        return endpoint
    salt = str(secret["metadata"].get("uid", "")).encode()
    digest = hmac.new(salt, encoded.encode(), hashlib.sha256).hexdigest()[:16]
    return Endpoint(endpoint.url, endpoint.shown, digest)
