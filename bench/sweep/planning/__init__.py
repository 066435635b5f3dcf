"""From the words of a command line to a suite and its runs, and what they will cost."""
