"""How runs end, as finish_and_fetch takes it: the one place where results are made."""

from __future__ import annotations

from crewline.redis.scripts import Result
from crewline.worker.runs.run import Run

#: Stack traces that a job keeps when its options say nothing.
MAX_TRACES = 10


def completed(run: Run, value: str, keep: str) -> Result:
    """It returned ``value``, JSON text."""
    return Result(
        run.job.id, run.lease.token, "completed", value, keep_completed=keep, plain=run.plain, suspect=run.told_apart,
        alone=run.alone, earlier=run.job.dead_letter_id or "",
    )  # fmt: skip


def failed(
    run: Run,
    reason: str,
    trace: str,
    *,
    keep: str,
    exhausted: bool,
    letter: bool = True,
    unreadable: bool = False,
) -> Result:
    """It failed for good.

    Args:
        exhausted: its attempts are used up.
        letter: it goes to the dead letters.
        unreadable: its data is no JSON.
    """
    return Result(
        run.job.id, run.lease.token, "failed", reason, trace=trace, traces=_traces(run), keep_failed=keep,
        suspect=run.told_apart, alone=run.alone, exhausted=exhausted, letter=letter, unreadable=unreadable,
        optionless=not run.job.opts, earlier=run.job.dead_letter_id or "",
    )  # fmt: skip


def retry(run: Run, reason: str, trace: str, delay_ms: int) -> Result:
    """It failed, and is tried again."""
    return Result(
        run.job.id, run.lease.token, "retry", reason, trace=trace, traces=_traces(run), delay_ms=delay_ms,
        lifo=run.job.opts.get("lifo") is True, suspect=run.told_apart, alone=run.alone, larger=run.larger,
    )  # fmt: skip


def back(run: Run, *, crashed: bool = False, tried: bool = False) -> Result:
    """It goes back to where it came from, as if it had not been fetched.

    Args:
        crashed: its own process died under it: that is counted.
        tried: it raised in a process of its own: it may run beside others.
    """
    return Result(
        run.job.id, run.lease.token, "back", "", crashed=crashed, tried=tried, alone=run.alone, larger=run.larger
    )


def outgrown(run: Run, cause: str) -> Result:
    """It died for want of memory, as ``cause`` tells: it waits for a larger worker."""
    return Result(run.job.id, run.lease.token, "back", "", alone=run.alone, larger=cause, outgrown=True)


def _traces(run: Run) -> int:
    limit = run.job.opts.get("stackTraceLimit")
    return limit if isinstance(limit, int) and limit >= 0 else MAX_TRACES
