"""What goes over the wire, and nothing that sends it: keys, JSON, options, waits, schedules' times. Pure."""
