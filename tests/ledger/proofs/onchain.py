"""The compiled `Verifier`, called where it stands: a library answers view calls from anybody."""

from dataclasses import astuple

from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from ledger.chain.client import Chain
from ledger.chain.errors import Reverted
from ledger.contracts import artifact
from ledger.headers import PolicyHeader
from ledger.proofs import Ask, Case, Question, Target, Wanted
from ledger.types import Address, Digest
from tests.engines import Engine

NUMBERS = ",".join(["uint32"] * 9 + ["uint8"] * 6)
TERMS = f"({NUMBERS},bool,bool,bytes32,bytes32,uint128,uint64)"
CASE = "(bytes32,bytes32,uint32,uint32,uint32,uint32,bytes32,uint32)"
TARGET = "(uint8,bytes32,uint256,uint32,uint8,uint32)"
QUESTION = "(uint8,bool,uint32,uint32,uint32,uint32,bytes32,address)"


class Verifier:
    """Asks the contract."""

    def __init__(self, engine: Engine) -> None:
        self.chain: Chain = engine.chain
        receipt = self.chain.send(engine.accounts[0], None, artifact("Verifier").bytecode)
        assert receipt.contract is not None
        self.address: Address = receipt.contract

    def check(self, policy: PolicyHeader, case: Case, proof: bytes) -> Question | None:
        """Give a proof's question; None if it shows nothing."""
        answer = self._ask(
            "check(Terms,Case,bytes)", [TERMS, CASE, "bytes"], terms(policy), case, proof
        )
        if answer is None:
            return None
        ask, holds, participant, number, height, slots, digest, signer = decode([QUESTION], answer)[
            0
        ]
        return Question(
            Ask(ask),
            holds,
            participant,
            number,
            height,
            slots,
            Digest(digest),
            Address(to_checksum_address(signer)),
        )

    def target(self, policy: PolicyHeader, case: Case, evidence: bytes) -> Target | None:
        """Say what a demand is for; None if it is not to be answered."""
        answer = self._ask(
            "target(Terms,Case,bytes)", [TERMS, CASE, "bytes"], terms(policy), case, evidence
        )
        if answer is None:
            return None
        kind, root, total, size, level, position = decode([TARGET], answer)[0]
        return Target(Wanted(kind), Digest(root), total, size, level, position)

    def opens(self, policy: PolicyHeader, target: Target, data: bytes) -> bool:
        """Whether bytes answer a demand."""
        types = ["bool", TARGET, "bytes"]
        answer = self._ask("opens(bool,Target,bytes)", types, policy.visibility != 0, target, data)
        return answer is not None and bool(decode(["bool"], answer)[0])

    def _ask(self, signature: str, types: list[str], *values: object) -> bytes | None:
        plain = [astuple(v) if isinstance(v, Case | Target) else v for v in values]
        data = keccak(text=signature)[:4] + encode(types, plain)
        try:
            return self.chain.call(self.address, data)
        except Reverted:
            return None


def terms(policy: PolicyHeader) -> tuple[object, ...]:
    """Give the part of a policy that the contract hands to its verifier."""
    p = policy
    return (
        p.leaves, p.coordinates, p.bound, p.statistics, p.least_updates, p.weight_cap, p.rounds,
        p.reward_period, p.valuation_every, p.rule, p.valuation, p.value_exponent, p.scale_exponent,
        p.evaluation, p.staleness, p.visibility != 0, p.open, p.rule_parameters,
        p.initial_model_root, p.pool, p.target,
    )  # fmt: skip
