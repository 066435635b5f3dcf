"""What `compare` says: the answer, and how it is told on a terminal and as JSON."""
