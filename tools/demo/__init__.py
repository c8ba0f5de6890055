"""`make demo`: the whole of Crewline once, from an empty machine to a checked answer.

`__main__` runs the steps, `install` makes the cluster ready, `screen` shows the JobQueue's status while it works, and
`answer` adds up what the jobs returned and compares it with a count that shares no code with the handler.
"""
