"""Redis: which one is meant, who claims a queue of it, and what is read of all queues together."""
