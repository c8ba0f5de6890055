"""What plans may ask for, and the one executor that does it: it decides nothing, and nothing else changes anything."""
