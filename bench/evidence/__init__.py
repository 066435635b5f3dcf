"""From the records of runs to tables, statistics and plots: no training code, no torch, no file is written here."""
