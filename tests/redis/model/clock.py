"""The scripts with a clock that only the test moves, so that each run of the same steps ends in the same state.

Only the call to TIME is changed: it reads a key instead. Times to live are Redis' own; `pass_by` shortens them. What
lasts is at least a minute long here, and half of that is the slack for the real time that steps take.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from crewline import CrewlineError
from crewline.redis import scripts
from crewline.redis.scripts import Scripts
from crewline.wire.keys import Keys
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

CLOCK_KEY = "model-clock"
#: Where the clock stands when a run begins: 2026-01-01, in milliseconds.
BEGIN_MS = 1_767_225_600_000
MINUTE_MS = 60_000

_TIME = "redis.call('TIME')"
_NOW = f"redis.call('GET', '{CLOCK_KEY}')"
_FAKE = f"{{ math.floor({_NOW} / 1000), {_NOW} % 1000 * 1000 }}"

#: What is kept till a moment: keys with a time to live, and the delayed jobs of queues, which come due.
_PASS = """
local ms = tonumber(ARGV[1])
redis.call('INCRBY', KEYS[1], ms)
for _, key in ipairs(redis.call('KEYS', ARGV[2])) do
  local left = redis.call('PTTL', key)
  if left >= 0 then
    if left <= ms + 30000 then redis.call('DEL', key) else redis.call('PEXPIRE', key, left - ms) end
  end
end
"""


class Died(CrewlineError):
    """The caller is gone: none of its calls comes to Redis any more."""


class ClockedScripts(Scripts):
    """The scripts of one queue, on the test's clock.

    Args:
        changes: text of the scripts -> what stands in its place: mutations, to see that the model finds them.
    """

    def __init__(self, redis: Redis, keys: Keys, changes: Mapping[str, str]) -> None:
        super().__init__(redis, keys)
        self._changes = changes
        #: how many calls come to Redis before their caller dies; None for all
        self.lives: int | None = None
        self._texts: dict[str, str] = {}

    def text_of(self, name: str) -> str:
        if name not in self._texts:
            told = scripts.source(name)
            for old, new in self._changes.items():
                told = told.replace(old, new)
            self._texts[name] = told.replace(_TIME, _FAKE)
            assert "'TIME'" not in self._texts[name], f"{name} reads the time in a way that this test does not know"
        return self._texts[name]

    def command(self, name: str, *args: str | int | bytes) -> tuple[Any, ...]:
        sha = hashlib.sha1(self.text_of(name).encode(), usedforsecurity=False).hexdigest()
        declared = self.keys.declared()
        return ("EVALSHA", sha, len(declared), *declared, self.keys.base, *args)

    async def call(self, name: str, *args: str | int | bytes) -> Any:
        if self.lives is not None:
            if self.lives == 0:
                raise Died
            self.lives -= 1
        try:
            return await self.redis.execute_command(*self.command(name, *args))
        except NoScriptError:
            await self.redis.script_load(self.text_of(name))
            return await self.redis.execute_command(*self.command(name, *args))


async def begin(redis: Redis) -> None:
    await redis.set(CLOCK_KEY, BEGIN_MS)


async def now_ms(redis: Redis) -> int:
    return int(await redis.get(CLOCK_KEY))


async def pass_by(redis: Redis, minutes: int) -> None:
    """Moves the clock on, and ends what has lasted its time."""
    await redis.eval(_PASS, 1, CLOCK_KEY, minutes * MINUTE_MS, "*")


async def move_on(redis: Redis, minutes: int) -> None:
    """Moves the clock, as for one whose leases ran out while others renewed theirs; nobody's beats are renewed."""
    await redis.eval(_PASS, 1, CLOCK_KEY, minutes * MINUTE_MS, "*:worker:*")


async def tick(redis: Redis) -> None:
    """A millisecond passes."""
    await redis.incr(CLOCK_KEY)
