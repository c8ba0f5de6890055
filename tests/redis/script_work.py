"""What Redis does while a script runs, counted and not timed: the same on every machine, however busy it is.

A counting script is the real one, with a table in the place of `redis` whose calls are counted: how many there are, how
many bytes go to them and come back, how many entries of lists they look through, how many bytes they give back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
from crewline import Queue
from crewline.redis.scripts import source
from crewline.redis.scripts.calls import caller

#: Where counting scripts leave what they counted: no key of any queue.
NOTES = "script-work"

_COUNTING = """
local script_redis, script_work = redis, { 0, 0, 0, 0 }
local function script_size(value)
  if type(value) == 'string' then return #value end
  local sum = 8
  if type(value) == 'table' then for _, part in pairs(value) do sum = sum + script_size(part) end end
  return sum
end
local function script_counted(call)
  return function(command, ...)
    local key = ...
    if command == 'LREM' or command == 'LPOS' then
      local length = script_redis.pcall('LLEN', key)
      script_work[3] = script_work[3] + (type(length) == 'number' and length or 0)
    elseif command == 'UNLINK' or command == 'DEL' then
      for _, each in ipairs({ ... }) do
        script_work[4] = script_work[4] + (script_redis.call('MEMORY', 'USAGE', each, 'SAMPLES', 100) or 0)
      end
    end
    local answer = call(command, ...)
    script_work[1] = script_work[1] + 1
    script_work[2] = script_work[2] + script_size({ ... }) + script_size(answer)
    return answer
  end
end
local redis = setmetatable({ call = script_counted(script_redis.call), pcall = script_counted(script_redis.pcall) },
  { __index = script_redis })
local function script()
%s
end
local script_answer = script()
script_work[2] = script_work[2] + script_size(ARGV) + script_size(script_answer)
script_redis.call('RPUSH', '%s', cjson.encode({ '%s', unpack(script_work) }))
return script_answer
"""


@dataclass
class Work:
    """What one call of a script did.

    Attributes:
        script: its name.
        calls: commands inside it.
        size: bytes that went to them and came back, with its own arguments and answer.
        entries: entries of the lists that were looked through.
        freed: bytes of the keys that were deleted.
    """

    script: str
    calls: int
    size: int
    entries: int
    freed: int

    @property
    def estimated_ms(self) -> float:
        """How long that takes Redis on a machine that does nothing else, as bench/scripts.py measured it."""
        return self.calls * 0.002 + self.size * 1.15e-6 + self.entries * 5e-6 + self.freed * 3e-8


def count_work(monkeypatch: pytest.MonkeyPatch, old: str = "", new: str = "") -> None:
    """From now on scripts count their work; in each, ``new`` stands where ``old`` did."""

    @cache
    def text(name: str) -> str:
        return _COUNTING % (source(name).replace(old, new) if old else source(name), NOTES, name)

    @cache
    def sha(name: str) -> str:
        return hashlib.sha1(text(name).encode(), usedforsecurity=False).hexdigest()

    monkeypatch.setattr(caller, "source", text)
    monkeypatch.setattr(caller, "sha", sha)


async def work_of(queue: Queue, act: Callable[[], Awaitable[Any]]) -> list[Work]:
    """What each call that is made did."""
    await queue.redis.delete(NOTES)
    await act()
    noted = [Work(*json.loads(note)) for note in await queue.redis.lrange(NOTES, 0, -1)]
    await queue.redis.delete(NOTES)
    return noted
