"""The registry: what a worker tells of itself, and what it hears."""
