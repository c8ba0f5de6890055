"""Counts one chunk of a web server's access log: the whole of what a user of Crewline writes for this example.

It reaches the workers as a ConfigMap, so that no image is built for it. A job carries the chunk's text; its return
value is the chunk's counts. A line that is not in combined format fails the job, which is tried again with backoff
and, since it fails each time, ends in the dead letters with the line number as the reason.
"""

import asyncio
import os
import re
from collections import Counter

from crewline import Job

#: https://httpd.apache.org/docs/2.4/logs.html#combined
COMBINED = re.compile(
    r"(?P<address>\S+) \S+ \S+ \[[^\]]+\] "
    r'"(?P<method>[A-Z]+) (?P<path>\S+) HTTP/[\d.]+" (?P<status>\d{3}) (?P<bytes>\d+|-) "[^"]*" "[^"]*"'
)
LINES_PER_STEP = 50
#: A pause after each step, so that a person can watch the jobs run: parsing alone takes a millisecond. 0 for none.
PACE_SECONDS = float(os.environ.get("ACCESS_LOG_PACE_SECONDS", "0"))


async def count(job: Job) -> dict:
    """`job.data`: {"chunk": its name, "text": its lines}; returns {"requests": n, "status": {...}, "paths": {...}}."""
    lines = job.data["text"].splitlines()
    status: Counter[str] = Counter()
    paths: Counter[str] = Counter()
    for number, line in enumerate(lines, start=1):
        request = COMBINED.fullmatch(line)
        if request is None:
            raise ValueError(f"line {number} is not in combined log format: {line[:60]!r}")
        status[request["status"]] += 1
        paths[request["path"]] += 1
        if number % LINES_PER_STEP == 0:
            await job.progress({"done": number, "of": len(lines)})
            await asyncio.sleep(PACE_SECONDS)
    await job.log(f"{len(lines)} requests, {sum(n for code, n in status.items() if code >= '500')} server errors")
    return {"requests": len(lines), "status": status, "paths": paths}
