"""Engines for all tests, and which examples hypothesis draws."""

from tests.engines import anvil, engine, geth, kubo, kubo_pair
from tests.examples import pytest_configure, pytest_report_header

__all__ = [
    "anvil",
    "engine",
    "geth",
    "kubo",
    "kubo_pair",
    "pytest_configure",
    "pytest_report_header",
]
