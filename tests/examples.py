"""Which examples hypothesis draws.

A plain run draws the same examples each time. `--hypothesis-profile=fresh` draws others and prints
their seed, `--hypothesis-profile=long` many more of them. `--hypothesis-seed=N` repeats seed N.
"""

import secrets

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

# Neither a deadline nor a limit for drawing: what a busy machine takes says nothing about the code.
# The parent is named, because hypothesis has another default where it finds CI in the environment.
settings.register_profile(
    "fixed",
    settings.get_profile("default"),
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("fresh", settings.get_profile("fixed"), derandomize=False)
settings.register_profile("long", settings.get_profile("fresh"), max_examples=3000)
settings.load_profile("fixed")

# Hypothesis also tries constants of the modules imported so far. Which ones these are depends on
# the tests that ran before in the process, so that a seed would not repeat a run.
providers._get_local_constants = Constants


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed before hypothesis reads it, and before xdist hands it to its workers."""
    profile = config.getoption("--hypothesis-profile")
    seeded = config.getoption("--hypothesis-seed") is not None
    if seeded and profile in (None, "fixed"):
        config.option.hypothesis_profile = "fresh"
    elif not seeded and profile in ("fresh", "long"):
        config.option.hypothesis_seed = str(secrets.randbelow(2**32))


def pytest_report_header(config: pytest.Config) -> str:
    """Say how to draw the same examples again."""
    seed = config.getoption("--hypothesis-seed")
    if seed is None:
        return "examples: always the same"
    long = config.getoption("--hypothesis-profile") == "long"
    return f"examples: {'--hypothesis-profile=long ' * long}--hypothesis-seed={seed}"
