"""What a local training run is: the policy's numbers, and where all of its randomness
comes from.
"""

from dataclasses import dataclass

import numpy as np

from fednode.errors import FedNodeError


class TrainingError(FedNodeError):
    """Local training that cannot start, or whose outcome cannot be used."""


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """Local training as the policy says it; the learning rate and its kin are finite floats."""

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        rates = (self.learning_rate, self.momentum, self.weight_decay)
        if not all(np.isfinite(rate) and rate >= 0 for rate in rates):
            raise TrainingError(f"training rates {rates} must be finite and not negative")
        if self.epochs < 1 or self.batch_size < 1:
            raise TrainingError(
                f"epochs ({self.epochs}) and batch_size ({self.batch_size}) must be at least 1"
            )


@dataclass(frozen=True, slots=True)
class LocalRun:
    """One participant's training in one round: all its randomness follows from this."""

    spec: TrainingSpec
    seed: int
    round: int
    participant: int

    def generator(self) -> np.random.Generator:
        """Make the generator that belongs to (seed, round, participant)."""
        return np.random.default_rng((self.seed, self.round, self.participant))

    def word(self) -> int:
        """Give 64 bits that belong to (seed, round, participant), to seed a library's generator."""
        sequence = np.random.SeedSequence((self.seed, self.round, self.participant), spawn_key=(1,))
        return int(sequence.generate_state(1, np.uint64)[0])
