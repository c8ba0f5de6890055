"""Processes: children, for work that holds the interpreter or has to be stopped for sure, and for suspects."""
