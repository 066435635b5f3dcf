"""One attempt at a run: its process, from the first epoch to the commit."""
