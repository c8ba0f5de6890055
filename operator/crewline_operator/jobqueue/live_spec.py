"""Reads what of a spec running workers follow: concurrency, timeoutSeconds, defaults, retention, limits. Pure."""

from __future__ import annotations

from crewline.errors import InvalidOption
from crewline.wire.backoff import Backoff
from crewline.wire.retention import Keep
from crewline.wire.settings import Settings

from crewline_operator.model.fields import Fields, Unreadable

#: What spec.defaults.backoff.type may be.
BACKOFFS = ("Exponential", "Fixed")


def parse_settings(spec: Fields, generation: int, concurrency: int, timeout_seconds: int | None) -> Settings:
    """What the queue's workers are to follow. Raises Unreadable."""
    defaults, retention = spec.inner("defaults"), spec.inner("retention")
    try:
        return Settings(
            generation=generation,
            concurrency=concurrency,
            # 0 was none under an older schema.
            timeout_seconds=timeout_seconds or None,
            keep_completed=_keep(retention, "completed"),
            keep_failed=_keep(retention, "failed"),
            attempts=defaults.integer("attempts", low=1) if "attempts" in defaults else None,
            backoff=_backoff(defaults),
        )
    except InvalidOption as error:
        raise Unreadable("InvalidSpec", f"spec.worker, spec.defaults or spec.retention: {error}") from error


def parse_limits(spec: Fields) -> dict[str, int]:
    """What limits the queue over all its workers, by BullMQ's names. Raises Unreadable."""
    limits, told = spec.inner("limits"), dict[str, int]()
    if "concurrency" in limits:
        told["concurrency"] = limits.integer("concurrency", low=1)
    if "rate" in limits:
        rate = limits.required("rate")
        seconds = rate.integer("perSeconds", low=1) if "perSeconds" in rate else 1
        told |= {"max": rate.integer("max", low=1), "duration": seconds * 1000}
    return told


def _keep(retention: Fields, name: str) -> Keep | None:
    if name not in retention:
        return None
    keep = retention.required(name)
    return Keep(keep.optional_integer("count"), keep.optional_integer("ageSeconds"))


def _backoff(defaults: Fields) -> Backoff | None:
    if "backoff" not in defaults:
        return None
    backoff = defaults.required("backoff")
    return Backoff(
        backoff.choice("type", BACKOFFS).lower(),
        backoff.integer("delaySeconds") if "delaySeconds" in backoff else 1,
        backoff.share("jitter"),
    )
