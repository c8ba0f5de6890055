"""How many workers a queue should have. Pure."""
