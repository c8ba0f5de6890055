"""Threads: where plain handlers run, and what a worker starts its children from."""
