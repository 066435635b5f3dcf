"""The command line's entry: `python run_bench.py` runs the quick start, `--help` tells the rest."""

import sys

from bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
