"""Random bytes in what is written of a job harm no other job; see fuzzing.py."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.redis.fuzzing import FIELDS, STRUCTURES, Bench, fuzz, json_values, make, place, raw


@fuzz
@given(
    fields=st.dictionaries(st.sampled_from(FIELDS), raw, max_size=6),
    named=st.booleans(),
    where=st.sampled_from(("wait", "prioritized", "delayed")),
    job_id=st.sampled_from((b"bad", b"bad-fail", b"\xffbad", b"7")),
)
async def test_garbage_in_the_fields_of_a_job_harms_no_other(
    bench: Bench, fields: dict[str, bytes], named: bool, where: str, job_id: bytes
) -> None:
    mapping: dict[str, bytes] = ({"name": b"n", "data": b"{}", "opts": b"{}"} if named else {}) | fields
    async with bench.among_good_ones(job_id):
        if mapping:
            await bench.queue.redis.hset(bench.base + job_id, mapping=mapping)
        await place(bench, where, job_id, 1.0)


@fuzz
@given(
    reference=st.sampled_from(("parentKey", "deid", "rjk")),
    target=st.sampled_from(("wait", "meta", "events", "nothing", "", "\u00e9", "a:b", "job")),
    structure=st.sampled_from(STRUCTURES),
    suffix=st.sampled_from((":dependencies", "", ":processed", ":failed", ":unsuccessful", ":lock")),
    failing=st.booleans(),
    parent=raw,
)
async def test_references_to_keys_of_any_kind_harm_no_other(
    bench: Bench, reference: str, target: str, structure: str, suffix: str, failing: bool, parent: bytes
) -> None:
    redis, base = bench.queue.redis, bench.queue.keys.base
    value = f"{base}{target}" if reference == "parentKey" else target
    referred = {
        "parentKey": [value + suffix], "deid": [f"{base}de:{target}", f"{base}dn:{target}"],
        "rjk": [f"{base}repeat:{target}", f"{base}repeat"],
    }[reference]  # fmt: skip
    opts = {"attempts": 1, "de": {"id": target, "keepLastIfActive": True}, "fpof": True, "repeat": {"every": 1000}}
    job_id = b"bad-fail" if failing else b"bad"
    async with bench.among_good_ones(job_id):
        for key in referred:
            if key not in bench.queue.keys.declared():
                await make(redis, key, structure)
        await redis.hset(
            bench.base + job_id,
            mapping={"name": "n", "data": "{}", "opts": json.dumps(opts), reference: value, "parent": parent},
        )
        await place(bench, "wait", job_id, 0)


OPTIONS = (
    "attempts", "backoff", "removeOnComplete", "removeOnFail", "kl", "stackTraceLimit", "de", "repeat", "parent",
    "delay", "priority", "lifo", "tm", "sizeLimit", "timestamp", "jobId", "fpof", "idof", "cpof", "rdof", "prevMillis",
)  # fmt: skip
inner = st.dictionaries(st.sampled_from(("type", "delay", "jitter", "count", "age", "limit", "id", "ttl")), json_values)


@fuzz
@given(opts=st.dictionaries(st.sampled_from(OPTIONS), json_values | inner, max_size=6), failing=st.booleans())
async def test_options_of_any_shape_harm_no_other(bench: Bench, opts: dict[str, Any], failing: bool) -> None:
    job_id = b"bad-fail" if failing else b"bad"
    async with bench.among_good_ones(job_id):
        await bench.queue.redis.hset(
            bench.base + job_id, mapping={"name": "n", "data": "{}", "opts": json.dumps(opts).encode()}
        )
        await place(bench, "wait", job_id, 0)


@fuzz
@given(
    key=st.sampled_from((":lock", ":logs", ":dependencies", ":processed", ":failed", ":unsuccessful")),
    structure=st.sampled_from(STRUCTURES),
    failing=st.booleans(),
)
async def test_a_job_s_own_keys_of_any_type_harm_no_other(
    bench: Bench, key: str, structure: str, failing: bool
) -> None:
    job_id = b"bad-fail" if failing else b"bad"
    async with bench.among_good_ones(job_id):
        await bench.queue.redis.hset(bench.base + job_id, mapping={"name": "n", "data": "{}", "opts": '{"attempts":1}'})
        await make(bench.queue.redis, bench.base + job_id + key.encode(), structure)
        await place(bench, "wait", job_id, 0)
