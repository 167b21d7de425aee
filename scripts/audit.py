#!/usr/bin/env python3
"""Replay a federation's history: `fednode audit` for use from a checkout."""

import sys

from fednode.cli import main

if __name__ == "__main__":
    main(["audit", *sys.argv[1:]], prog_name="fednode")
