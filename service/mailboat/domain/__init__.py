"""What a message is and how its state changes: no I/O, no framework."""
