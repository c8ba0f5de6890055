"""What somebody has to do for a queue beside its jobs."""
