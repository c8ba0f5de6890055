"""Redis: how it is reached, and the scripts that change a queue there."""
