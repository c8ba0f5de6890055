"""A model of the state machine that the Lua scripts are: random steps through the real scripts, invariants after each.

`machine` has the steps, `world` and `hands` make them, `picture` reads what Redis holds then; `invariants`, `changes`
and `wakeups` say what must be true of it. `python -m tests.redis.model --help` is the long form.
"""
