"""The Redis that a JobQueue names, with what Secrets and ConfigMaps hold of it. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace

from crewline.errors import InvalidOption
from crewline.redis.completed import Access
from crewline.redis.topology import check_letters_slot, check_slot

from crewline_operator.jobqueue.redis_spec import CONFIG_MAP, SECRET, KeyRef
from crewline_operator.jobqueue.spec import JobQueue
from crewline_operator.model.fault import Fault
from crewline_operator.model.key import Object
from crewline_operator.redis.certificates import certificates_in, is_ca, is_usable
from crewline_operator.redis.endpoint import Certificate, Endpoint
from crewline_operator.redis.urls import parse_redis_url, without_tls

#: What is referred to, by kind and name; None where there is none.
Found = Mapping[tuple[str, str], Object | None]


def resolve_endpoint(jobqueue: JobQueue, found: Found) -> Endpoint | Fault:
    """A JobQueue's Redis, given all that its spec.redis refers to."""
    spec = jobqueue.redis
    values: dict[KeyRef, bytes] = {}
    for ref in spec.references:
        value = _value(ref, jobqueue.namespace, found[ref.kind, ref.name])
        if isinstance(value, Fault):
            return value
        values[ref] = value
    texts: dict[KeyRef, str] = {}
    for ref, value in values.items():
        if ref is spec.ca:
            continue
        try:
            texts[ref] = value.decode().strip() if ref is spec.url_from else value.decode()
        except UnicodeDecodeError:
            return _no_text(ref)
    ca = certificates_in(values[spec.ca]) if spec.ca is not None else ""
    if spec.ca is not None and not is_ca(ca):
        return _invalid_certificate(spec.ca)
    certificate = None
    if spec.certificate is not None and spec.private_key is not None:
        certificate = Certificate(values[spec.certificate], values[spec.private_key])
        if not is_usable(certificate):
            return _invalid_certificate(spec.certificate)
    access = Access(
        username=spec.username,
        password=_text(texts, spec.password_from),
        sentinel_username=spec.sentinel_username,
        sentinel_password=_text(texts, spec.sentinel_password_from),
        ssl_ca_data=ca,
    )
    where = spec.told_at if spec.url_from is None else f"key {spec.url_from.key!r} of Secret {spec.url_from.name!r}"
    url = _text(texts, spec.url_from) if spec.url is None else spec.url
    endpoint = parse_redis_url(url, jobqueue.namespace, where, access)
    if isinstance(endpoint, Fault):
        return endpoint
    if spec.tls and not endpoint.url.startswith("rediss"):
        return without_tls(where)
    try:
        check_slot(endpoint.url, jobqueue.prefix, jobqueue.queue)
        check_letters_slot(endpoint.url, jobqueue.prefix, jobqueue.queue, jobqueue.dead_letter_queue)
    except InvalidOption as error:
        return Fault("CrossSlot", f"spec.redis.prefix, spec.queue or spec.deadLetter.queue: {error}")
    return replace(endpoint, certificate=certificate, secret_digest=_digest(values, found))


def _value(ref: KeyRef, namespace: str, obj: Object | None) -> bytes | Fault:
    """What a Secret or ConfigMap holds."""
    reason = "MissingSecret" if ref.kind == SECRET else "MissingConfigMap"
    if obj is None:
        return Fault(
            reason,
            f"{ref.field}: there is no {ref.kind} {ref.name!r} in namespace {namespace!r}: create it with {ref.holds} "
            f"in key {ref.key!r}, or name another",
        )
    data = obj.get("data") or {}
    if ref.kind == CONFIG_MAP and ref.key in data:
        return str(data[ref.key]).encode()
    encoded = (obj.get("binaryData") or {}).get(ref.key) if ref.kind == CONFIG_MAP else data.get(ref.key)
    if encoded is None:
        return Fault(
            reason,
            f"{ref.field}: {ref.kind} {ref.name!r} has no key {ref.key!r}: add it with {ref.holds}, or name another "
            "key",
        )
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return _no_text(ref)


def _text(texts: Mapping[KeyRef, str], ref: KeyRef | None) -> str:
    return texts[ref] if ref is not None else ""


def _no_text(ref: KeyRef) -> Fault:
    return Fault("InvalidRedisURL", f"key {ref.key!r} of {ref.kind} {ref.name!r} is not text: write {ref.holds} there")


def _invalid_certificate(ref: KeyRef) -> Fault:
    keys = ref.key if ref.key != "tls.crt" else "tls.crt and tls.key"
    return Fault(
        "InvalidCertificate",
        f"{ref.field}: {keys} of {ref.kind} {ref.name!r} can't be used: write {ref.holds} there"
        + (", and the private key that belongs to it, without a pass phrase" if ref.key == "tls.crt" else ""),
    )


def _digest(values: Mapping[KeyRef, bytes], found: Found) -> str | None:
    """Changes with each value, and tells nothing of it: the key, the uid of the object that holds it, is random.

    Whoever may read the Deployment, where it stands, and not the Secret could try passwords on a hash without a key.
    """
    if not values:
        return None
    digest = hashlib.sha256()
    for ref, value in values.items():
        obj = found[ref.kind, ref.name] or {"metadata": {}}
        uid = str(obj["metadata"].get("uid", "")).encode()
        digest.update(hmac.new(uid, f"{ref.field}\0{ref.key}\0".encode() + value, hashlib.sha256).digest())
    return digest.hexdigest()[:16]
