"""Handlers: how one is named, found and called."""
