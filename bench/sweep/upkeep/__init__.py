"""What keeps a results folder in order: merge, clean, verify, repeat, examine."""
