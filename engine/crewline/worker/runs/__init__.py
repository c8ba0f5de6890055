"""Runs: one job in a handler, from the fetch to its end."""
