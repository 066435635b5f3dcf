"""How fast the harness is, as ratios to what it replaces, measured in turns within one run."""
