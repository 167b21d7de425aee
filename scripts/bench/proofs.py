"""What proofs cost: gas and bytes of the transactions that challenge a result, from receipts.

    python scripts/bench/proofs.py [--engine anvil|embedded] [--json]

Each proof is opened three times: by the verifier alone; through the ledger's `openProof`, in a real
federation of n, of a result that nobody has voted for; and of one for which its whole committee
voted, so that all of it is slashed in the same transaction. Leaves are full of random bytes, the
dearest there are, and the trees above them are implied by random paths: they may have as many
leaves as one likes.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from fednode.roles.watcher import Secret
from ledger import merkle, nodes
from ledger.chain.calls import call
from ledger.chain.federations import Dispute, Federations, deploy
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
from ledger.payload import LANES, LEAF_SIZE
from ledger.proofs import Case, OpenTree, Proof, Prover, Question, check
from ledger.types import ZERO_ADDRESS, ZERO_DIGEST, Address, Digest, FederationId, RoundIndex, Wei
from scripts.bench.engines import ETHER, Engine, open_engine
from scripts.bench.gas import NO_FEDERATION, WINDOW
from scripts.bench.relayed import SEATS, Relayed, relayed_policy
from tests.ledger.proofs.onchain import CASE, TERMS, terms

LEAVES = 1 << 14
"""Leaves of a model of 4,194,304 parameters."""
PARTICIPANTS = (4, 16, 64, 256, 1024)
TRIMMED = (4, 16, 32, 48)
"""More than 48 may not share a relay: its slots and the direct ones must fit one transaction."""
PLAYERS = 12
MOST_SEATS = 128
MOST_SUM_GAS = 1_200_000
MOST_SUM_BYTES = 32_000
LARGEST_GAS = 1 << 24
LARGEST_TRANSACTION = 128 * 1024
STAKE = Wei(ETHER // 1000)
BOND = Wei(ETHER // 100)


@dataclass(frozen=True, slots=True)
class Challenge:
    """Bytes of the whole call of `openProof`, and the least gas that so many cost (EIP-7623),
    whatever is computed; gas of `commitProof`, and of `openProof` with no votes and with those of
    the whole committee, which is slashed.
    """

    bytes: int
    floor: int
    commit: int
    opened: int
    slashing: int


@dataclass(frozen=True, slots=True)
class Line:
    """What one proof takes: gas of the verifier alone and through the ledger; `seats` voted."""

    proof: str
    participants: int
    seats: int
    verifier: int
    ledger: Challenge

    @property
    def small(self) -> bool:
        """Whether the limits of a sum's proof are meant for this one."""
        return self.proof.startswith("sums") and self.seats <= SEATS

    @property
    def met(self) -> bool:
        """Whether the dearest opening is within its limits."""
        gas, size = limits(small=self.small)
        return self.ledger.slashing <= gas and self.ledger.bytes <= size


def limits(*, small: bool) -> tuple[int, int]:
    """Give the most gas and bytes that an opening may take."""
    return (MOST_SUM_GAS, MOST_SUM_BYTES) if small else (LARGEST_GAS, LARGEST_TRANSACTION)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a challenged result stands; by default nowhere."""

    chain_id: int = 1
    ledger: Address = ZERO_ADDRESS
    federation: FederationId = NO_FEDERATION
    batch_root: Digest = ZERO_DIGEST
    attempt: int = 0


NOWHERE = Place()


class Stage:
    """Leaves with random paths, and a result that they disprove."""

    def __init__(self, policy: PolicyHeader, place: Place = NOWHERE) -> None:
        self.policy = policy
        self.slots = policy.max_participants
        self._place = place
        self._random = random.Random(self.slots)

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
        at = self._place
        where = (at.chain_id, at.ledger, at.federation)
        header = ResultHeader(
            common=Common(RESULT_TAG, *where, RoundIndex(0), ZERO_DIGEST),
            nodes=ZERO_DIGEST,
            weight=self.slots << 20,
            number=self.slots,
            model_root=ZERO_DIGEST,
            model_digest=Digest(bytes([at.attempt] * 32)),
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
        at, slots = self._place, self.slots
        return Case(at.federation, header.digest(), 0, 1, slots, slots, at.batch_root, slots)


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


Maker = Callable[[Stage], tuple[Case, Proof]]


class Court:
    """Opens proofs of one kind in transactions."""

    def __init__(self, engine: Engine, verifier: Address) -> None:
        self._engine = engine
        self._verifier = verifier
        self._contract = Federations(engine.chain, deploy(engine.chain, engine.creator))
        self._salt = 0

    def line(self, name: str, make: Maker, participants: int, **changes: object) -> Line:
        """Open a proof in a federation of so many, whose policy is changed like this."""
        policy = relayed_policy(
            self._engine,
            self._contract.address,
            participants,
            leaves=LEAVES,
            coordinates=LEAVES * LANES,
            least_updates=1,
            stake=STAKE,
            challenge_bond=BOND,
            **changes,
        )
        stage = Stage(policy)
        alone = self._alone(stage, *make(stage))
        # A proof about the first step says what the initial model was.
        policy = replace(policy, initial_model_root=stage.policy.initial_model_root)
        challenge = self._through_the_ledger(policy, make)
        return Line(name, participants, min(participants, policy.committee_size), alone, challenge)

    def _alone(self, stage: Stage, case: Case, proof: Proof) -> int:
        assert check(stage.policy, case, proof.data) == Question()
        values = [terms(stage.policy), astuple(case), proof.data]
        data = keccak(text="check(Terms,Case,bytes)")[:4] + encode([TERMS, CASE, "bytes"], values)
        chain, creator = self._engine.chain, self._engine.creator
        return chain.send(creator, self._verifier, data, gas=LARGEST_GAS).gas_used

    def _through_the_ledger(self, policy: PolicyHeader, make: Maker) -> Challenge:
        """Disprove a round's first result before anybody votes, and its second one after all did.

        Each has a challenger of its own, to whom nothing was credited before: that is dearer.
        """
        self._salt += 1
        salt = Digest(self._salt.to_bytes(32, "big"))
        federation, _ = self._contract.create(self._engine.creator, policy, salt=salt)
        crowd = Relayed(self._engine, self._contract, federation, policy)
        crowd.batch(0, root=salt, index=salt)
        crowd.close()
        self._engine.jump(self._engine.chain.now() + WINDOW)
        where = (policy.common.chain_id, self._contract.address, federation, salt)
        opened = []
        for attempt, challenger in enumerate(self._engine.members(2)):
            stage = Stage(policy, Place(*where, attempt))
            case, proof = make(stage)
            header = ResultHeader.decode(proof.data[1 : 1 + len(stage.result().encode())])
            assert header.digest() == case.result
            crowd.propose(header, salt, attempt=attempt)
            if attempt:
                crowd.vote(header, attempt=attempt)
            secret = Secret(proof.data, salt, challenger.address)
            committed = self._contract.commit_proof(
                challenger,
                federation,
                case.result,
                commitment=secret.commitment,
                bond=BOND,
            )
            dispute = Dispute(federation, case.result)
            opened.append(
                self._contract.open_proof(
                    challenger, dispute, proof.data, attempt=attempt, salt=salt
                )
            )
        place = (dispute.federation, dispute.result, attempt, dispute.challenge)
        data = call("openProof", *place, proof.data, salt)
        floor = 21_000 + sum(40 if byte else 10 for byte in data)
        gas = (receipt.gas_used for receipt in (committed, *opened))
        return Challenge(len(data), floor, *gas)


def measure(engine: Engine) -> Iterator[Line]:
    """Open proofs of each kind in transactions."""
    verifier = engine.chain.send(engine.creator, None, artifact("Verifier").bytecode).contract
    assert verifier is not None
    court = Court(engine, verifier)
    for n in PARTICIPANTS:
        yield court.line("sums of updates", lambda stage: node_sum(stage, 0), n)
        if n > FAN_OUT:
            yield court.line("sums of nodes", lambda stage: node_sum(stage, 1), n)
        yield court.line("step of the mean", step, n)
    seats = {"committee_size": MOST_SEATS}
    yield court.line("sums of nodes", lambda stage: node_sum(stage, 1), MOST_SEATS, **seats)
    for n in TRIMMED:
        for rule in (Rule.TRIMMED_MEAN, Rule.MEDIAN):
            share = 100_000 if rule is Rule.TRIMMED_MEAN else 0
            changes = {"rule": rule, "rule_parameters": Digest(share.to_bytes(32, "big"))}
            name = f"step of the {rule.name.lower().replace('_', ' ')}"
            yield court.line(name, trimmed, n, **changes)
    by_value = {"valuation": Valuation.EXACT, "evaluation": Evaluation.PUBLIC}
    yield court.line("exact Shapley value", value, PLAYERS, **by_value)


HEADINGS = ("n", "seats", "bytes", "floor", "verifier", "commitProof", "openProof", "slashing")


def row(line: Line) -> str:
    """Write a line of the table."""
    found = line.ledger
    numbers = (line.participants, line.seats, found.bytes, found.floor, line.verifier)
    cells = (*numbers, found.commit, found.opened, found.slashing)
    return f"{line.proof:<25}" + "".join(f"{number:>12,}" for number in cells)


def targets(lines: Sequence[Line]) -> Iterator[str]:
    """Compare the dearest openings with what they may take."""
    for small, what in ((True, f"a node's sums, up to {SEATS} seats"), (False, "anything else")):
        of = [line for line in lines if line.small is small]
        gas, size = limits(small=small)
        most, longest = (
            max(line.ledger.slashing for line in of),
            max(line.ledger.bytes for line in of),
        )
        met = "met" if all(line.met for line in of) else "MISSED"
        yield (
            f"{what}: {most:,} gas and {longest:,} bytes "
            f"(target: at most {gas:,} and {size:,}, {met})"
        )
    both = max(line.ledger.commit + line.ledger.slashing for line in lines if line.small)
    yield f"`commitProof` is a transaction before: both for a node's sums, {both:,} gas"


def main() -> int:
    """Print a table, or JSON; exit with 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", choices=("anvil", "embedded"), default="anvil")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    lines = []
    with open_engine(arguments.engine, members=2) as engine:
        if not arguments.json:
            print(" " * 25 + "".join(f"{heading:>12}" for heading in HEADINGS))
        for line in measure(engine):
            lines.append(line)
            if not arguments.json:
                print(row(line), flush=True)
    met = all(line.met for line in lines)
    if arguments.json:
        print(json.dumps([{**asdict(line), "met": line.met} for line in lines]))
    else:
        print("\n".join(targets(lines)))
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
