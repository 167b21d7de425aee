"""Accounts that no other test has, and that are the same each time a test runs.

What a transaction costs depends on the zero bytes of the addresses in it, and the order of
participants may depend on their addresses. With drawn keys a test could fail by chance.
"""

import os
from collections import Counter
from hashlib import sha256

from ledger.chain.accounts import Account, from_key

_made: Counter[str] = Counter()


def new_account() -> Account:
    """Make the next account of the test that runs, or of the module that is imported."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" (")[0]
    _made[test] += 1
    return from_key("0x" + sha256(f"{test} {_made[test]}".encode()).hexdigest())
