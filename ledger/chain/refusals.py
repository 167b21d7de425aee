"""The contract's own errors by name, each with what to do about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from functools import cache

from eth_abi.abi import decode as abi_decode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from ledger.chain.errors import ContractRejected, Reverted, TransactionFailed
from ledger.contracts import artifact

ADVICE = {
    "UnknownFederation": "no federation has this id on this contract",
    "FederationExists": "you created a federation of this policy before; choose another salt",
    "PolicyRefused": "the policy cannot be enforced; mend the key that is named",
    "HeaderRefused": "the result header does not follow from the federation's state",
    "WrongValue": "the ether sent is not what is due",
    "TransferIncomplete": "the token moved another amount; tokens with transfer fees are refused",
    "EtherRefused": "the address does not take ether",
    "WrongPhase": "the call belongs to another phase of the round",
    "HasEnded": "the federation has ended",
    "WrongRound": "the call names another round than the current one",
    "WrongAttempt": "the vote names another attempt than the current one",
    "WrongResult": "the vote names another result than the standing proposal",
    "DeadlinePassed": "the phase is over; send advance",
    "NotSeated": "the address is not the signer of a seat, or its seat was not drawn",
    "NotVacant": "whoever was drawn to a place that was said to be vacant has not left",
    "AlreadyCommitted": "the participant has committed in this round",
    "AlreadyVoted": "the participant has voted in this attempt",
    "NotInTurn": "it is another participant's turn to propose",
    "TooEarly": "the round's slice may still be opened; propose after the reveal deadline",
    "FederationFull": "the policy's number of participants is reached",
    "ZeroAddress": "signer and payout address must be given",
    "SignerTaken": "the address is or was a signer here; take a fresh key",
    "ControllerTaken": "the address controls a participant of this federation already",
    "InvitationRefused": "the creator did not sign this invitation, or none is wanted",
    "InvitationExpired": "ask the creator for a new invitation",
    "WeightOverflow": "the sum of all weights would reach 2^31; lower the rows or the cap",
    "UnknownParticipant": "no participant has this index",
    "NotController": "only the participant's controller may do this",
    "AlreadyLeft": "the participant has left",
    "StakeLocked": "it still has a seat, a round of it is not settled, or unbonding takes its time",
    "NothingToDo": "no deadline has passed, no result can be settled, no vote is new",
    "NotIdle": "close only after the idle window, and not while a result is voted on",
    "InvalidProof": "the leaf is not in the payout tree of the claimable result",
    "NothingToClaim": "everything due has been paid",
    "GasTooLow": "a payee among several has less gas left than it may use; send more gas",
    "RefundLocked": "the pool is locked until the last result has settled",
    "NothingToRefund": "nothing of the pool is left",
    "NothingToWithdraw": "nothing is waiting for this account",
    "NoSeed": "the hash that draws the committee is there from the next block on, for 256 blocks",
    "NotRelay": "only the policy's relay posts batches",
    "BatchRefused": "one batch a round, of at least one leaf and at most one a participant",
    "ConsentRefused": "the controller must call itself, or sign what it joins with",
    "RowsNotAttested": "an amendment only takes rows away; ask the creator to attest more",
    "NotChallengeable": "the result does not stand, or its challenge window has ended",
    "ChallengeNotOpen": "the challenge is over, waits for somebody else, or its time is up",
    "NotChallenger": "only who opened the challenge goes on with it",
    "CommitmentMismatch": "open what was committed to, in a later block",
    "TooManySteps": "the challenge has had all the steps that one bond buys",
    "NothingWrong": "the proof shows nothing that is wrong",
    "AnswerRefused": "these are not the bytes that the demand asks for",
    "NothingToCharge": "no settled result calls the update unavailable, or it was charged before",
}


class Phase(IntEnum):
    """Phase of the current round, as the contract numbers them."""

    FORMING = 0
    COMMIT = 1
    PROPOSE = 2
    ATTEST = 3
    ENDED = 4


@cache
def _errors() -> dict[bytes, tuple[str, tuple[tuple[str, str, str], ...]]]:
    table = {}
    for entry in artifact("Federations").abi:
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


def named_error(data: bytes) -> ContractRejected | None:
    """Read a revert's data as one of the contract's errors; None if it is none of them."""
    known = _errors().get(data[:4])
    if known is None:
        return None
    name, inputs = known
    try:
        values = abi_decode([kind for _, kind, _ in inputs], data[4:])
    except DecodingError:
        return None
    fields = {
        field: _readable(value, internal)
        for (field, _, internal), value in zip(inputs, values, strict=True)
    }
    return ContractRejected(name, fields, ADVICE.get(name, ""))


@contextmanager
def naming_errors() -> Iterator[None]:
    """Turn reverts with the contract's own errors into ContractRejected."""
    try:
        yield
    except Reverted as reverted:
        named = named_error(reverted.data)
        if named is None:
            raise
        raise named from reverted
    except TransactionFailed as failed:
        named = named_error(failed.data)
        if named is None:
            raise
        raise TransactionFailed(
            failed.transaction, failed.gas_used, str(named), failed.data
        ) from failed
