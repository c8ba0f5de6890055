"""Calls: how jobs come from Redis, how leases are held, how results go there."""
