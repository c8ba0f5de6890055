"""The Lua scripts and one typed Python call for each.

A script is a real file with a header that names its KEYS, ARGV, return value and events; a line
``-- @include PART/NAME`` puts ``lib/PART/NAME.lua`` and what that includes in its place, once a script, or, where it is
indented, once a block (see sources.py). Whatever moves a job is one of these calls, and each asks before it changes
anything whether Redis lets it do all of that, since a script that is refused half-way is not undone; what touches many
jobs takes a bounded number of them a call.
"""

from __future__ import annotations

from crewline.redis.scripts.calls.add import AddCalls
from crewline.redis.scripts.calls.change import ChangeCalls
from crewline.redis.scripts.calls.queue import QueueCalls
from crewline.redis.scripts.calls.upkeep import UpkeepCalls
from crewline.redis.scripts.calls.work import WorkCalls
from crewline.redis.scripts.sources import GROUPS as GROUPS
from crewline.redis.scripts.sources import sha as sha
from crewline.redis.scripts.sources import source as source
from crewline.redis.scripts.values import MOST_BYTES as MOST_BYTES
from crewline.redis.scripts.values import MOST_JOBS as MOST_JOBS
from crewline.redis.scripts.values import Added as Added
from crewline.redis.scripts.values import Fetched as Fetched
from crewline.redis.scripts.values import FetchedJob as FetchedJob
from crewline.redis.scripts.values import Heard as Heard
from crewline.redis.scripts.values import Recovered as Recovered
from crewline.redis.scripts.values import Result as Result


class Scripts(AddCalls, WorkCalls, ChangeCalls, QueueCalls, UpkeepCalls):
    """The scripts of one queue on one connection pool."""
