"""What turns: what was seen goes into the work queue, which calls the reconcilers; and what is shown of that over HTTP."""
