"""The largest inputs of each script: bench/scripts.py times them, tests/redis/test_script_bounds.py counts their work.

Each scenario fills a queue and returns what makes the calls. Where a script reads, copies or deletes what jobs hold,
there is one with many small jobs, one with some larger ones, and one with the largest that a queue takes by default.
"""

from __future__ import annotations

from . import adding as adding
from . import changing as changing
from . import keeping as keeping
from . import working as working
from .base import EXCEPTIONS as EXCEPTIONS
from .base import SCENARIOS as SCENARIOS
