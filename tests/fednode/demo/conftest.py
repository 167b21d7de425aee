from pathlib import Path

import pytest

from fednode.demo import DemoOptions, DemoResult, run_demo
from fednode.demo.result import RoundRow


class Listener:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.rounds: list[RoundRow] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def round(self, row: RoundRow, *, of: int) -> None:
        assert row.version <= of
        self.rounds.append(row)


@pytest.fixture(scope="session")
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> DemoResult:
    """Play two rounds on the embedded engines, once for all tests."""
    folder: Path = tmp_path_factory.mktemp("demo")
    return run_demo(DemoOptions(rounds=2, directory=folder / "out", resamples=40), listener)
