"""How fast queued mail leaves, and what it withstands: this package and others with a queue."""
