"""The producer's face of a queue: add jobs, look at them, change what becomes of them."""
