"""Tries a JobQueue's scaling on a recorded load: the operator's own `decide`, in simulated time."""
