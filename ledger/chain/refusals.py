"""The contracts' own errors as sentences: what was refused, and what to do about it.

A field in braces is filled in as it reads: a moment as date and time, an amount in ether, a phase
by its name. The error's own name stands at the end: a reader finds it in the contract.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import IntEnum
from functools import cache

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from ledger.chain.errors import ContractRejected, Reverted, TransactionFailed, shown
from ledger.chain.reverts import MOST
from ledger.contracts import artifact
from ledger.plain import ether, moment

CONTRACT = "Federations"
LIBRARY = "Verifier"
MOMENTS = frozenset({"until", "deadline", "from", "expires"})
"""Fields that are chain times."""

ADVICE = {
    "UnknownFederation": "no federation has the id {federation} on this contract",
    "FederationExists": "you created a federation of this policy before, {federation}; choose "
    "another salt",
    "PolicyRefused": "the policy cannot be enforced; mend its key {key}",
    "HeaderRefused": "the result header does not follow from the federation's state in {key}",
    "WrongValue": "{expected:ether} are due, and {sent:ether} were sent",
    "TransferIncomplete": "the token moved {received} units instead of {expected}; tokens with "
    "transfer fees are refused",
    "EtherRefused": "the address {to} does not take ether",
    "WrongPhase": "the federation is in phase '{actual}', and this belongs to phase '{expected}'",
    "HasEnded": "the federation has ended",
    "WrongRound": "this names round {given}, and the current round is {expected}",
    "WrongAttempt": "the vote names attempt {given}, and the current attempt is {expected}",
    "WrongResult": "the vote names result {given}, and the standing proposal is {expected}",
    "DeadlinePassed": "the phase was over at {deadline}; send advance",
    "NotSeated": "{signer} is not the signer of a seat in round {round}, or its seat was not drawn",
    "NotVacant": "the participant that was drawn to place {place} has not left, so the place is "
    "not vacant",
    "AlreadyCommitted": "participant {participant} has committed in round {round}",
    "AlreadyVoted": "participant {participant} has voted in attempt {attempt} of round {round}",
    "NotInTurn": "it is the turn of participant {participant} to propose",
    "TooEarly": "this is possible from {from} on: until then a slice of rows, or a proof against "
    "a result that fell, may still be opened",
    "FederationFull": "the policy's number of {maxParticipants} participants is reached",
    "ZeroAddress": "signer and payout address must be given",
    "SignerTaken": "the address {signer} is or was a signer here; take a fresh key",
    "ControllerTaken": "the address {controller} controls a participant of this federation already",
    "InvitationRefused": "the creator did not sign this invitation, or none is wanted",
    "InvitationExpired": "the invitation expired at {expires}; ask the creator for a new one",
    "WeightOverflow": "the sum of all weights would be {sum}, which is not below 2^31; lower the "
    "rows or the cap",
    "UnknownParticipant": "no participant has the index {participant}",
    "NotController": "only the participant's controller, {controller}, may do this",
    "AlreadyLeft": "participant {participant} has left",
    "StakeLocked": "participant {participant} still has a seat, a round of it is not settled, or "
    "unbonding takes its time",
    "NothingToDo": "no deadline has passed, no result can be settled, no vote is new",
    "NotIdle": "the federation can be closed from {until} on, and not while a result is voted on",
    "InvalidProof": "the leaf is not in the payout tree of the claimable result",
    "NothingToClaim": "everything due to participant {participant} has been paid",
    "GasTooLow": "a payee among several has less gas left than it may use; send more gas",
    "RefundLocked": "the pool is locked until the last result has settled",
    "NothingToRefund": "nothing of the pool is left",
    "NothingToWithdraw": "nothing is waiting for the account {account}",
    "NoSeed": "the hash of block {openedBlock} draws the committee: it is there from the next "
    "block on, for 256 blocks",
    "NotRelay": "only the policy's relay, {relay}, posts batches",
    "BatchRefused": "one batch a round, of at least one leaf and at most one a participant",
    "ConsentRefused": "the controller {controller} must call itself, or sign what it joins with",
    "RowsNotAttested": "an amendment only takes rows away, and {attested} are attested; ask the "
    "creator to attest more",
    "NotChallengeable": "the result {result} does not stand, or its challenge window has ended",
    "ChallengeNotOpen": "challenge {challenge} is over, waits for another account, or its time is "
    "up",
    "NotChallenger": "only {challenger}, which opened the challenge, goes on with it",
    "CommitmentMismatch": "open what was committed to, in a later block",
    "TooManySteps": "the challenge has had all the steps that one bond buys",
    "NothingWrong": "the proof shows nothing that is wrong",
    "AnswerRefused": "these are not the bytes that the demand asks for",
    "NothingToCharge": "no settled result calls the update unavailable, or it was charged before",
    # of OpenZeppelin's
    "ECDSAInvalidSignature": "a signature is none of its signer's",
    "ECDSAInvalidSignatureLength": "a signature has {length} bytes, which no signature has",
    "ECDSAInvalidSignatureS": "a signature is not in its one valid form: its s is in the upper "
    "half",
    "InvalidShortString": "a short text has a length that it cannot have",
    "StringTooLong": "the text {str} has more than 31 bytes",
    "ReentrancyGuardReentrantCall": "a payee's code called the contract again while it was paid",
    "SafeERC20FailedOperation": "the token {token} refused to move the amount; check balance and "
    "approval",
    # of the verifier's
    "NotThePreimage": "the bytes do not have the digest {digest} that names them",
    "NotUnder": "what was opened is not under the root {root}",
    "NoSuchPlace": "the tree has no place {index}: its size is {size}",
    "SumOverflows": "the sums under a node exceed 256 bits",
    "TooManyPlayers": "{players} players are more than an exact method can value",
    "Truncated": "the proof ends before what it must hold",
    "Overlong": "the proof goes on for {bytes_} bytes behind what it must hold",
    "OutOfPlace": "the proof says nothing of such a place",
    "NotDemandable": "a demand of kind {kind} does not exist, or has no answer in this case",
    "UnknownKind": "a proof of kind {kind} does not exist",
}


class Phase(IntEnum):
    """Phase of the current round, as the contract numbers them."""

    FORMING = 0
    COMMIT = 1
    PROPOSE = 2
    ATTEST = 3
    ENDED = 4


Inputs = tuple[tuple[str, str, str], ...]


@cache
def errors_of(contract: str) -> dict[bytes, tuple[str, Inputs]]:
    """List a contract's errors by their selectors: their names, and each input's name and types."""
    table = {}
    for entry in artifact(contract).abi:
        if entry["type"] == "error":
            inputs = tuple(
                (i["name"] or f"_{n}", i["type"], i["internalType"])
                for n, i in enumerate(entry["inputs"])
            )
            text = f"{entry['name']}({','.join(kind for _, kind, _ in inputs)})"
            table[keccak(text=text)[:4]] = (str(entry["name"]), inputs)
    return table


def _readable(value: object, internal: str) -> object:
    if internal == "enum Phase" and isinstance(value, int) and value < len(Phase):
        return Phase(value).name.lower()
    if internal == "bytes32" and isinstance(value, bytes):
        text = value.rstrip(b"\0")
        return text.decode() if text and text.isascii() and text.decode().isalnum() else value
    return value


class _Fields(dict[str, object]):
    """Fields of an error, each as it reads in a sentence."""

    def __getitem__(self, name: str) -> object:
        value = super().__getitem__(name)
        if name in MOMENTS and isinstance(value, int):
            return moment(value)
        return _Amount(value) if isinstance(value, int) else shown(value)[:MOST]


class _Amount(int):
    """A number that can be shown as an amount of wei."""

    def __format__(self, form: str) -> str:
        return ether(self) if form == "ether" else str(int(self))


def sentence(name: str, fields: Mapping[str, object]) -> str:
    """Say what an error means; empty where no sentence is known."""
    text = ADVICE.get(name, "")
    return text.format_map(_Fields(fields)) if text and fields else text


def _decoded(contract: str, data: bytes) -> tuple[str, dict[str, object]] | None:
    """Read a revert's data as one of a contract's errors."""
    known = errors_of(contract).get(data[:4])
    if known is None:
        return None
    name, inputs = known
    try:
        values = abi_decode([kind for _, kind, _ in inputs], data[4:])
    except DecodingError:
        return None
    return name, {
        field: _readable(value, internal)
        for (field, _, internal), value in zip(inputs, values, strict=True)
    }


def named_error(data: bytes) -> ContractRejected | None:
    """Read a revert's data as one of the contract's errors; None if it is none of them."""
    found = _decoded(CONTRACT, data)
    return None if found is None else ContractRejected(*found, sentence(*found))


def _explained(reverted: Reverted) -> Reverted | None:
    """Say what an error of the verifier means. It stays a plain revert: no rule of the federation
    has refused anything.
    """
    found = _decoded(LIBRARY, reverted.data)
    if found is None:
        return None
    return Reverted(reverted.data, f"{sentence(*found)} ({found[0]})")


@contextmanager
def naming_errors() -> Iterator[None]:
    """Turn reverts with the contract's own errors into ContractRejected."""
    try:
        yield
    except Reverted as reverted:
        told = named_error(reverted.data) or _explained(reverted)
        if told is None:
            raise
        raise told from reverted
    except TransactionFailed as failed:
        named = named_error(failed.data)
        if named is None:
            raise
        raise TransactionFailed(
            failed.transaction, failed.gas_used, str(named), failed.data
        ) from failed
