"""A child from the inside. The worker's end of it is beside this folder, and shares messages with it, no code."""
