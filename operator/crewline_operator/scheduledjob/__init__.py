"""A ScheduledJob: what it asks for, when it is due, and which runs are added, skipped or taken back."""
