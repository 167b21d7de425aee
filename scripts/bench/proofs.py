"""What proofs cost: gas and bytes of a transaction that opens one, from its receipt.

    python scripts/bench/proofs.py [--engine anvil|embedded] [--json]

The verifier is called alone; what the ledger does around it is not in the figures. Leaves are full
of random bytes, the dearest there are, and the trees above them are implied by random paths: they
may have as many leaves as one likes.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from ledger import merkle, nodes
from ledger.contracts import artifact
from ledger.headers import (
    RESULT_TAG,
    Common,
    Evaluation,
    PolicyHeader,
    ResultHeader,
    Rule,
    Valuation,
)
from ledger.nodes import FAN_OUT, NODE_SIZE, Entry, Node, shape
from ledger.payload import LEAF_SIZE
from ledger.proofs import Case, OpenTree, Proof, Prover, Question, check
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Digest, FederationId, RoundIndex
from scripts.bench.engines import Engine, open_engine
from tests.ledger.chain.samples import policy as sample_policy
from tests.ledger.proofs.onchain import CASE, TERMS, terms

LEAVES = 1 << 14
"""Leaves of a model of 4,194,304 parameters."""
PARTICIPANTS = (4, 16, 64, 256, 1024)
TRIMMED = (4, 16, 32, 64)
PLAYERS = 12
LARGEST_GAS = 1 << 24
LARGEST_TRANSACTION = 128 * 1024


@dataclass(frozen=True, slots=True)
class Line:
    """What one proof takes: `bytes` of the whole call, the `gas` of its transaction, and the least
    that so many bytes cost (EIP-7623), whatever is computed.
    """

    proof: str
    participants: int
    bytes: int
    gas: int
    floor: int


class Stage:
    """Leaves with random paths, and a result that they disprove."""

    def __init__(self, participants: int, **policy: object) -> None:
        self._random = random.Random(participants)
        settled: dict[str, object] = {"leaves": LEAVES, "rule": Rule.WEIGHTED_MEAN, **policy}
        self.policy: PolicyHeader = replace(sample_policy(1, ZERO_ADDRESS), **settled)  # type: ignore[arg-type]
        self.slots = participants

    def leaf(self, index: int, size: int, data: bytes | None = None) -> tuple[bytes, Digest]:
        """Give an opening of a random leaf, and the root that it implies."""
        leaf = self._random.randbytes(LEAF_SIZE) if data is None else data
        sides = merkle.sides(index, size)
        assert sides is not None
        hashed, path = merkle.leaf_hash(leaf), []
        for on_the_left in sides:
            sibling = self._random.randbytes(32)
            path.append(sibling)
            pair = (sibling, hashed) if on_the_left else (hashed, sibling)
            hashed = merkle.node_hash(*pair)
        return leaf + b"".join(path), hashed

    def node(self, roots: Sequence[Digest], root: Digest, *, index: int) -> "_Opened":
        """Give a node over entries with these roots, opened, and the root above it."""
        entries = [
            Entry(Digest(self._random.randbytes(32)), r, place, weight=1 << 20, number=1)
            for place, r in enumerate(roots)
        ]
        encoded = Node.of(entries, root).encode()
        opening, above = self.leaf(index, sum(shape(self.slots)), encoded)
        assert len(encoded) == NODE_SIZE
        return _Opened(opening, above)

    def result(self, **fields: object) -> ResultHeader:
        """Give a header with these fields."""
        header = ResultHeader(
            common=Common(
                RESULT_TAG, 1, ZERO_ADDRESS, FederationId(ZERO_DIGEST), RoundIndex(0), ZERO_DIGEST
            ),
            nodes=ZERO_DIGEST,
            weight=self.slots << 20,
            number=self.slots,
            model_root=ZERO_DIGEST,
            model_digest=ZERO_DIGEST,
            utilities=ZERO_DIGEST,
            gain=0,
            values=ZERO_DIGEST,
            scores=0,
            payouts=ZERO_DIGEST,
            payout_total=0,
            stop=False,
        )
        return replace(header, **fields)  # type: ignore[arg-type]

    def case(self, header: ResultHeader) -> Case:
        """Give the case that the contract would hand over."""
        federation = FederationId(ZERO_DIGEST)
        digest = header.digest()
        return Case(federation, digest, 0, 1, self.slots, 0, ZERO_DIGEST, self.slots)


@dataclass(frozen=True, slots=True)
class _Opened:
    """One opening in place of a tree."""

    opening: bytes
    root: Digest

    def open(self, index: int) -> bytes:
        """Give the opening, whatever is asked for."""
        return self.opening


def node_sum(stage: Stage, level: int) -> tuple[Case, Proof]:
    """Open a full node, a leaf of its sums and one of every entry's."""
    inputs = min(shape(stage.slots)[level - 1] if level else stage.slots, FAN_OUT)
    size = 2 * LEAVES if level else LEAVES
    opened = [stage.leaf(5 if level else 2, size) for _ in range(inputs)]
    own, root = stage.leaf(5, 2 * LEAVES)
    index = sum(shape(stage.slots)[:level])
    node = stage.node([r for _, r in opened], root, index=index)
    header = stage.result(nodes=node.root)
    prover = Prover(stage.policy, stage.case(header), header, node)
    return prover.case, prover.sum(index, 5, own, [data for data, _ in opened])


def step(stage: Stage) -> tuple[Case, Proof]:
    """Open the top node, a leaf of its sums, and the model's before and after."""
    sums, root = stage.leaf(5, 2 * LEAVES)
    before, previous = stage.leaf(2, LEAVES)
    after, model = stage.leaf(2, LEAVES)
    stage.policy = replace(stage.policy, initial_model_root=previous)
    node = stage.node([root], root, index=sum(shape(stage.slots)) - 1)
    header = stage.result(nodes=node.root, model_root=model)
    prover = Prover(stage.policy, stage.case(header), header, node)
    return prover.case, prover.step(5, sums, (before, after))


def trimmed(stage: Stage) -> tuple[Case, Proof]:
    """Open all lowest nodes, a leaf of every update, and the model's before and after."""
    opened = [stage.leaf(2, LEAVES) for _ in range(stage.slots)]
    before, previous = stage.leaf(2, LEAVES)
    after, model = stage.leaf(2, LEAVES)
    stage.policy = replace(stage.policy, initial_model_root=previous)
    entries = [Entry(ZERO_DIGEST, root, weight=1, number=1) for _, root in opened]
    levels = nodes.levels(entries, sum_root=lambda _: ZERO_DIGEST)
    tree = OpenTree.of([node.encode() for node in nodes.in_order(levels)])
    header = stage.result(nodes=tree.root, model_root=model)
    prover = Prover(stage.policy, stage.case(header), header, tree)
    inputs = [data for data, _ in opened]
    return prover.case, prover.step_of(2, tree, inputs, (before, after))


def value(stage: Stage) -> tuple[Case, Proof]:
    """Open all nodes, all utilities and a value."""
    entries = [Entry(ZERO_DIGEST, ZERO_DIGEST, p, weight=1, number=1) for p in range(stage.slots)]
    levels = nodes.levels(entries, sum_root=lambda _: ZERO_DIGEST)
    tree = OpenTree.of([node.encode() for node in nodes.in_order(levels)])
    rng = random.Random(0)
    utilities = OpenTree.of_utilities([rng.randrange(10**6) for _ in range(1 << stage.slots)])
    words = [index.to_bytes(32, "big") + bytes(64) for index in range(stage.slots)]
    values = OpenTree.of_sums(words)
    header = stage.result(nodes=tree.root, utilities=utilities.root, values=values.root)
    prover = Prover(stage.policy, stage.case(header), header, tree)
    return prover.case, prover.value(3, values, tree, utilities)


def measure(engine: Engine) -> Iterator[Line]:
    """Open proofs of each kind in transactions."""
    verifier = engine.chain.send(engine.creator, None, artifact("Verifier").bytecode).contract
    assert verifier is not None

    def sent(name: str, stage: Stage, made: tuple[Case, Proof]) -> Line:
        case, proof = made
        assert check(stage.policy, case, proof.data) == Question()
        values = [terms(stage.policy), astuple(case), proof.data]
        data = keccak(text="check(Terms,Case,bytes)")[:4] + encode([TERMS, CASE, "bytes"], values)
        floor = 21_000 + sum(40 if byte else 10 for byte in data)
        if len(data) > LARGEST_TRANSACTION - 200:
            return Line(name, stage.slots, len(data), 0, floor)
        receipt = engine.chain.send(engine.creator, verifier, data, gas=LARGEST_GAS)
        return Line(name, stage.slots, len(data), receipt.gas_used, floor)

    for n in PARTICIPANTS:
        stage = Stage(n)
        yield sent("sums of updates", stage, node_sum(stage, 0))
        if n > FAN_OUT:
            yield sent("sums of nodes", stage, node_sum(stage, 1))
        yield sent("step of the mean", stage, step(stage))
    for n in TRIMMED:
        for rule in (Rule.TRIMMED_MEAN, Rule.MEDIAN):
            share = Digest((100_000).to_bytes(32, "big"))
            stage = Stage(n, rule=rule, rule_parameters=share)
            yield sent(f"step of the {rule.name.lower().replace('_', ' ')}", stage, trimmed(stage))
    by_value = {"valuation": Valuation.EXACT, "evaluation": Evaluation.PUBLIC}
    stage = Stage(PLAYERS, **by_value)
    yield sent("exact Shapley value", stage, value(stage))


def main() -> int:
    """Print a table, or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=("anvil", "embedded"), default="anvil")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    lines = []
    with open_engine(arguments.engine, members=0) as engine:
        for line in measure(engine):
            lines.append(astuple(line))
            if not arguments.json:
                gas = f"{line.gas:,}" if line.gas else "too large"
                size = f"{line.proof:24} n={line.participants:<5} {line.bytes:>8,} B"
                print(f"{size} {gas:>12} floor {line.floor:>10,}")
    if arguments.json:
        print(json.dumps([dict(zip(Line.__slots__, line, strict=True)) for line in lines]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
