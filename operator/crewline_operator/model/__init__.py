"""What all rooms speak of: objects' keys, faults, notes, moments, the operator's settings. No I/O."""
