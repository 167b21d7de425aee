"""Writes verdicts.bin, which pytest and forge both check: `python -m tests.vectors.make_verdicts`.

Proofs of every kind against right and wrong results of many small worlds, what the verifier says of
each (a question, or nothing if it refuses), and bytes whose change makes it refuse. ABI-encoded as
`Trial[]` of `contracts/test/verifier/Verdicts.t.sol`: as text it would be four times as large, and
forge reads text slowly. Deterministic, as `make.py`.
"""

import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import astuple
from itertools import islice
from pathlib import Path

from eth_abi.abi import encode

from ledger.headers import Evaluation, PolicyHeader, Rule, Valuation
from ledger.proofs import Case, NoProof, Proof, Question, check, find
from tests.ledger.proofs.lies import LIES
from tests.ledger.proofs.onchain import CASE, QUESTION, TERMS, terms
from tests.ledger.proofs.samples import every_proof
from tests.ledger.proofs.world import Choices, Made, World

FILE = Path(__file__).resolve().parent / "verdicts.bin"
TRIALS = f"({TERMS},{CASE},bytes,bytes,bytes)[]"
"""Terms, case, squeezed proof, question (empty if refused), and changes.

A change is three bytes of a place, and one that is exchanged for the byte there by exclusive or.
"""
CHANGES = 4
WORLDS = 56
MOST = 24
"""So many proofs of each kind, shown or refused, found by a challenger or not, are drawn."""
Trial = tuple[PolicyHeader, Case, bytes]
Encoded = tuple[object, object, bytes, bytes, bytes]


def render() -> bytes:
    """Make the file's content."""
    draw = random.Random(1)
    sorts: dict[tuple[int, bool, bool], list[Trial]] = defaultdict(list)
    for seed in range(WORLDS):
        for found, trial in _of_world(World(_choices(seed))):
            sorts[trial[2][0], _verdict(*trial) is None, found].append(trial)
    chosen = [
        trial
        for _, trials in sorted(sorts.items())
        for trial in draw.sample(trials, min(MOST, len(trials)))
    ]
    return encode([TRIALS], [[_told(*trial, draw) for trial in chosen]])


def _choices(seed: int) -> Choices:
    """Draw a world: all that a policy can choose, and few leaves, which keeps proofs short."""
    draw = random.Random(seed)
    valuation = draw.choice(list(Valuation))
    slots = draw.choice((1, 2, 4, 6) if valuation is Valuation.EXACT else (2, 3, 5, 7, 17, 20))
    return Choices(
        seed=seed,
        slots=slots,
        batched=draw.randint(0, min(slots, 4)),
        leaves=draw.choice((1, 1, 2, 3)) if slots < 10 else 1,
        rule=draw.choice((Rule.WEIGHTED_MEAN, *Rule)),
        height=draw.randint(1, 5),
        statistics=draw.choice((0, 0, 5)),
        least=draw.randint(1, 3),
        period=draw.randint(0, 3),
        every=draw.randint(1, 2),
        valuation=valuation,
        evaluation=draw.choice(list(Evaluation)),
        staleness=draw.randint(0, 2),
        visibility=draw.choice((0, 1)),
        stop=draw.random() < 0.2,
    )


def _of_world(world: World) -> Iterator[tuple[bool, Trial]]:
    """Try the right result, and wrong ones: whether a challenger finds the proof, and the proof."""
    draw = random.Random(repr(world.choices))
    yield from _of_result(world, world.honest, draw)
    for name in sorted(LIES):
        lies = [m for m in islice(LIES[name](world), 40) if m.header != world.honest.header]
        # The last one is about the highest node, where there are several.
        for made in [*draw.sample(lies, min(3, len(lies))), *lies[-1:]]:
            yield from _of_result(world, made, draw)


def _of_result(world: World, made: Made, draw: random.Random) -> Iterator[tuple[bool, Trial]]:
    disputed = world.dispute(made)
    found = find(disputed)
    if isinstance(found, Proof):
        yield True, (world.policy, disputed.case, found.data)
    for proof in _sample(world, made, draw):
        yield False, (world.policy, disputed.case, proof.data)


def _sample(world: World, made: Made, draw: random.Random) -> list[Proof]:
    """Choose a proof of each kind."""
    by_kind: dict[int, list[Proof]] = defaultdict(list)
    for proof in every_proof(world, made):
        by_kind[proof.kind].append(proof)
    return [draw.choice(proofs) for _, proofs in sorted(by_kind.items())]


def _told(policy: PolicyHeader, case: Case, proof: bytes, draw: random.Random) -> Encoded:
    """What is said of a proof; if it is not refused, with changes for which it is."""
    question = _verdict(policy, case, proof)
    changes = []
    for _ in range(CHANGES if question else 0):
        at, xor = draw.randrange(len(proof)), 1 << draw.randrange(8)
        changed = proof[:at] + bytes([proof[at] ^ xor]) + proof[at + 1 :]
        if _verdict(policy, case, changed) is None:
            changes.append(at.to_bytes(3, "big") + bytes([xor]))
    answer = encode([QUESTION], [astuple(question)]) if question else b""
    return terms(policy), astuple(case), squeeze(proof), answer, b"".join(changes)


def squeeze(data: bytes) -> bytes:
    """Write down four bytes of size, a bit for each word that is not zero, and these words."""
    words = [data[at : at + 32].ljust(32, b"\0") for at in range(0, len(data), 32)]
    bits = sum(1 << k for k, word in enumerate(words) if any(word))
    marks = bits.to_bytes((len(words) + 7) // 8, "little")
    return len(data).to_bytes(4, "big") + marks + b"".join(word for word in words if any(word))


def _verdict(policy: PolicyHeader, case: Case, proof: bytes) -> Question | None:
    try:
        return check(policy, case, proof)
    except NoProof:
        return None


if __name__ == "__main__":
    FILE.write_bytes(render())
