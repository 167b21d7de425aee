#!/usr/bin/env python3
"""Deploy the contract, once for everybody on a chain: `fednode deploy` for use from a checkout."""

import sys

from fednode.cli import main

if __name__ == "__main__":
    main(["deploy", *sys.argv[1:]], prog_name="fednode")
