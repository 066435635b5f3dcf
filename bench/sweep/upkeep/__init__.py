"""What keeps a results folder in order: try, merge, clean, verify, repeat, examine."""
