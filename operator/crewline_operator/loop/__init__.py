"""What turns: the work queue, the reconcilers that it calls, and what is shown of both on the HTTP port."""
