"""The Kubernetes operator: turns JobQueues into workers and ScheduledJobs into jobs on time."""
