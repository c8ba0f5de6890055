"""Builders of the objects a JobQueue owns: pure functions from what is wanted to a manifest, one file a kind."""
