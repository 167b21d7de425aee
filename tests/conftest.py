"""Engines for all tests, and how much hypothesis tries: `pytest --hypothesis-profile=long` for a
night's run.
"""

import os

from hypothesis import settings

from tests.engines import anvil, engine, geth, kubo, kubo_pair

__all__ = ["anvil", "engine", "geth", "kubo", "kubo_pair"]

# No deadline: what a test measures on a busy machine says nothing about the code.
settings.register_profile("short", deadline=None)
settings.register_profile("ci", parent=settings.get_profile("short"), derandomize=True)
settings.register_profile("long", deadline=None, max_examples=3000)
settings.load_profile("ci" if os.environ.get("CI") == "true" else "short")
