"""A JobQueue: what it asks for, what is observed of it, and what is planned from both."""
