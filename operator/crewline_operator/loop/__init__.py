"""What turns: what was seen goes into the work queue, which calls the reconcilers; and the HTTP port that shows it."""
