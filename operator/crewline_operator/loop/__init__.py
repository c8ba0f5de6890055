"""What turns: what was seen goes into the work queue, which calls the reconcilers; what is shown of it over HTTP."""
