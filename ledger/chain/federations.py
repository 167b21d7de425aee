"""The `Federations` contract as typed methods, its deployment, and its errors by name.

Calls are encoded with the shipped ABI; the contract's custom errors come back as ContractRejected.
An address is ours if CREATE2 (EIP-1014) puts the shipped bytecode there: that needs no trust in the
node, whoever sent the deployment.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import rlp
from eth_abi.abi import decode as abi_decode
from eth_abi.abi import encode as abi_encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

from ledger import words
from ledger.address import parse_address
from ledger.chain.accounts import Account
from ledger.chain.client import Chain
from ledger.chain.errors import (
    ContractRejected,
    Reverted,
    TokenUnusable,
    TransactionFailed,
    UnknownContract,
)
from ledger.chain.types import Log, Receipt
from ledger.contracts import DETERMINISTIC_DEPLOYER, Deployment, artifact, deployment
from ledger.headers import PolicyHeader, ResultHeader
from ledger.history import TOPIC_OF, FederationCreated, ParticipantJoined
from ledger.types import (
    ZERO_ADDRESS,
    ZERO_DIGEST,
    Address,
    Digest,
    FederationId,
    ParticipantId,
    RoundIndex,
    Wei,
)
from ledger.words import AddressWord, BoolWord, Bytes32, UInt8, UInt32, UInt64, UInt128

DEPLOYER_NONCES = 32

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
    "NotSeated": "the address is not the signer of a seat in this round",
    "AlreadyCommitted": "the participant has committed in this round",
    "AlreadyVoted": "the participant has voted in this attempt",
    "NotInTurn": "it is another participant's turn to propose",
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
    "StakeLocked": "a round that the participant acted in is neither settled nor void",
    "NothingToDo": "no deadline has passed and no result can be settled",
    "NotIdle": "close only after the idle window, and not while a result is voted on",
    "InvalidProof": "the leaf is not in the payout tree of the claimable result",
    "NothingToClaim": "everything due has been paid",
    "RefundLocked": "the pool is locked until the last result has settled",
    "NothingToRefund": "nothing of the pool is left",
    "NothingToWithdraw": "no bond is waiting for this account",
}


class Phase(IntEnum):
    """Phase of the current round, as the contract numbers them."""

    FORMING = 0
    COMMIT = 1
    PROPOSE = 2
    ATTEST = 3
    ENDED = 4


@dataclass(frozen=True, slots=True)
class FederationView:
    """The contract's own summary of a federation."""

    phase: UInt8
    round: UInt32
    attempt: UInt8
    seats: UInt32
    known: UInt32
    commits: UInt32
    votes_for: UInt32
    votes_against: UInt32
    deadline: UInt64
    turn_missed: BoolWord
    head: Bytes32
    head_height: UInt32
    settled_height: UInt32
    standing: Bytes32
    claimable: Bytes32
    last_accepted: UInt64
    joined: UInt32
    active: UInt32
    creator: AddressWord
    token: AddressWord
    pool: UInt128
    paid: UInt128
    refunded: BoolWord


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a creator attests about a participant: who it is and how many rows it has.

    `dataset` is the index that the commitment will get in the participant's list, 0 in the one that
    it joins with: so no invitation can be used twice.
    """

    federation: FederationId
    controller: Address
    identity: Digest
    dataset_root: Digest
    rows: int
    expires: int
    dataset: int = 0


@dataclass(frozen=True, slots=True)
class Membership:
    """What a participant joins with. An open federation takes no invitation."""

    signer: Address
    payout: Address
    identity: Digest
    dataset_root: Digest
    rows: int
    expires: int = 0
    invitation: bytes = b""


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote on the standing proposal."""

    round: RoundIndex
    attempt: int
    result: Digest
    support: bool


@dataclass(frozen=True, slots=True)
class PayoutProof:
    """A participant's leaf of the payout tree and the siblings on its path, from the leaf up."""

    participant: ParticipantId
    amount: Wei
    hashes: Sequence[Digest]
    sums: Sequence[int]


def sign_invitation(
    account: Account, invitation: Invitation, *, chain_id: int, ledger: Address
) -> bytes:
    """Sign an invitation as a federation's creator (EIP-712)."""
    return account.sign_typed(
        {
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "Invitation": [
                    {"name": "federation", "type": "bytes32"},
                    {"name": "controller", "type": "address"},
                    {"name": "identity", "type": "bytes32"},
                    {"name": "datasetRoot", "type": "bytes32"},
                    {"name": "dataset", "type": "uint32"},
                    {"name": "rows", "type": "uint32"},
                    {"name": "expires", "type": "uint64"},
                ],
            },
            "primaryType": "Invitation",
            "domain": {
                "name": "FedNode Federations",
                "version": "1",
                "chainId": chain_id,
                "verifyingContract": ledger,
            },
            "message": {
                "federation": invitation.federation,
                "controller": invitation.controller,
                "identity": invitation.identity,
                "datasetRoot": invitation.dataset_root,
                "dataset": invitation.dataset,
                "rows": invitation.rows,
                "expires": invitation.expires,
            },
        }
    )


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


@cache
def _selector(signature: str) -> bytes:
    return keccak(text=signature)[:4]


def call_data(signature: str, *arguments: object) -> bytes:
    """Encode a call of a function given by its Solidity signature, without structs."""
    kinds = signature[signature.index("(") + 1 : -1]
    return _selector(signature) + abi_encode(kinds.split(",") if kinds else [], arguments)


@cache
def _struct_selector(name: str) -> bytes:
    entry = next(
        e for e in artifact("Federations").abi if e["type"] == "function" and e["name"] == name
    )
    return _selector(f"{name}({','.join(_collapse(i) for i in entry['inputs'])})")


def _collapse(item: dict[str, object]) -> str:
    kind = str(item["type"])
    components = item.get("components")
    if not kind.startswith("tuple") or not isinstance(components, list):
        return kind
    return f"({','.join(_collapse(c) for c in components)}){kind.removeprefix('tuple')}"


class Federations:
    """The contract at an address. Every sending method simulates first, then waits."""

    def __init__(self, chain: Chain, address: Address | str) -> None:
        try:
            self.address = parse_address(address)
        except ValueError as error:
            raise UnknownContract(Address(str(address)), str(error)) from None
        self.chain = chain
        if not chain.code(self.address):
            raise UnknownContract(
                self.address, "there is no contract; deploy one or mend the address"
            )

    def _send(self, account: Account, data: bytes, *, value: int = 0) -> Receipt:
        with naming_errors():
            return self.chain.send(account, self.address, data, value=value)

    def _read(self, data: bytes, *, block: int | None = None) -> bytes:
        with naming_errors():
            answer = self.chain.call(self.address, data, block=block)
        if not answer or len(answer) % 32:
            raise UnknownContract(self.address, "the contract there does not answer as ours does")
        return answer

    def _own_log(self, receipt: Receipt, topic: bytes) -> Log:
        for log in receipt.logs:
            if log.address == self.address and log.topics[0] == topic:
                return log
        raise UnknownContract(self.address, "the contract there did not emit the expected event")

    def create(
        self, account: Account, policy: PolicyHeader, *, salt: Digest = ZERO_DIGEST
    ) -> tuple[FederationId, Receipt]:
        """Create a federation and fund its pool; a pool in a token needs `approve` before."""
        data = _struct_selector("createFederation") + policy.encode() + salt
        value = policy.pool if policy.token == ZERO_ADDRESS else 0
        receipt = self._send(account, data, value=value)
        log = self._own_log(receipt, TOPIC_OF[FederationCreated])
        return FederationId(log.topics[1]), receipt

    def require_known(self) -> None:
        """Refuse a contract that does not answer as ours does; whether it is ours, an audit says.

        Nobody can create a federation with the id zero.
        """
        try:
            self._read(call_data("federationOf(bytes32)", bytes(32)))
        except ContractRejected as rejected:
            if rejected.name == "UnknownFederation":
                return
        except Reverted:
            pass
        raise UnknownContract(self.address, "the contract there does not answer as ours does")

    def approve(self, account: Account, token: Address, amount: Wei) -> Receipt | None:
        """Allow the contract to pull a pool in an ERC-20 token; None where it may already.

        Raise TokenUnusable where there is no token, or the account has too little of it.
        """
        if not self.chain.code(token):
            raise TokenUnusable(token, "there is no contract; mend reward.token")
        has = self._token_amount(token, call_data("balanceOf(address)", account.address))
        if has < amount:
            raise TokenUnusable(
                token, f"{account.address} has {has} units, the pool is {amount}; send it the rest"
            )
        owner = call_data("allowance(address,address)", account.address, self.address)
        if self._token_amount(token, owner) >= amount:
            return None
        data = call_data("approve(address,uint256)", self.address, amount)
        with naming_errors():
            return self.chain.send(account, token, data)

    def _token_amount(self, token: Address, data: bytes) -> int:
        try:
            answer = self.chain.call(token, data)
        except Reverted:
            answer = b""
        if len(answer) != 32:
            raise TokenUnusable(token, "the contract there does not answer as an ERC-20 token does")
        return int.from_bytes(answer, "big")

    def join(
        self, account: Account, federation: FederationId, membership: Membership, *, stake: Wei
    ) -> tuple[ParticipantId, Receipt]:
        """Join with the policy's stake; the account becomes the participant's controller."""
        data = call_data(
            "join(bytes32,address,address,bytes32,bytes32,uint32,uint64,bytes)",
            federation,
            membership.signer,
            membership.payout,
            membership.identity,
            membership.dataset_root,
            membership.rows,
            membership.expires,
            membership.invitation,
        )
        receipt = self._send(account, data, value=stake)
        log = self._own_log(receipt, TOPIC_OF[ParticipantJoined])
        return ParticipantId(int.from_bytes(log.data[:32], "big")), receipt

    def leave(
        self, account: Account, federation: FederationId, participant: ParticipantId
    ) -> Receipt:
        """Give up the seat from the next round on; by the controller."""
        return self._send(account, call_data("leave(bytes32,uint32)", federation, participant))

    def rotate_signer(
        self,
        account: Account,
        federation: FederationId,
        participant: ParticipantId,
        signer: Address,
    ) -> Receipt:
        """Replace a participant's signer; by the controller."""
        signature = "rotateSigner(bytes32,uint32,address)"
        return self._send(account, call_data(signature, federation, participant, signer))

    def commit_dataset(
        self,
        account: Account,
        invitation: Invitation,
        *,
        participant: ParticipantId,
        signature: bytes = b"",
    ) -> Receipt:
        """Commit to another data set, as the creator attests it; by the controller."""
        data = call_data(
            "commitDataset(bytes32,uint32,bytes32,uint32,uint64,bytes)",
            invitation.federation,
            participant,
            invitation.dataset_root,
            invitation.rows,
            invitation.expires,
            signature,
        )
        return self._send(account, data)

    def withdraw_stake(
        self, account: Account, federation: FederationId, participant: ParticipantId
    ) -> Receipt:
        """Take the stake back; by the controller."""
        signature = "withdrawStake(bytes32,uint32)"
        return self._send(account, call_data(signature, federation, participant))

    def commit_update(
        self,
        account: Account,
        federation: FederationId,
        round_index: RoundIndex,
        digest: Digest,
    ) -> Receipt:
        """Commit to an update's header; by the signer of a seat."""
        signature = "commitUpdate(bytes32,uint32,bytes32)"
        return self._send(account, call_data(signature, federation, round_index, digest))

    def propose_result(
        self, account: Account, header: ResultHeader, index: Digest, *, bond: Wei
    ) -> Receipt:
        """Propose a result with the policy's bond."""
        selector = _struct_selector("proposeResult")
        data = selector + header.common.federation + header.encode() + index
        return self._send(account, data, value=bond)

    def vote(self, account: Account, federation: FederationId, ballot: Ballot) -> Receipt:
        """Vote on the standing proposal; by the signer of a seat."""
        data = call_data(
            "vote(bytes32,uint32,uint8,bytes32,bool)",
            federation,
            ballot.round,
            ballot.attempt,
            ballot.result,
            ballot.support,
        )
        return self._send(account, data)

    def advance(self, account: Account, federation: FederationId) -> Receipt:
        """Do what is due: pass a deadline, settle results; by anybody."""
        return self._send(account, call_data("advance(bytes32)", federation))

    def close(self, account: Account, federation: FederationId) -> Receipt:
        """End a federation that has been idle for its idle window; by anybody."""
        return self._send(account, call_data("close(bytes32)", federation))

    def checkpoint(self, account: Account, federation: FederationId) -> Receipt:
        """Emit the history accumulator unchanged; by anybody."""
        return self._send(account, call_data("checkpoint(bytes32)", federation))

    def claim(self, account: Account, federation: FederationId, proof: PayoutProof) -> Receipt:
        """Pay a participant, to its payout address; by anybody."""
        data = call_data(
            "claim(bytes32,uint32,uint128,bytes32[],uint256[])",
            federation,
            proof.participant,
            proof.amount,
            list(proof.hashes),
            list(proof.sums),
        )
        return self._send(account, data)

    def refund(self, account: Account, federation: FederationId) -> Receipt:
        """Pay the creator what the payouts leave of the pool; by anybody."""
        return self._send(account, call_data("refund(bytes32)", federation))

    def withdraw_bond(self, account: Account, federation: FederationId) -> Receipt:
        """Take back the account's own bonds."""
        return self._send(account, call_data("withdrawBond(bytes32)", federation))

    def view(self, federation: FederationId) -> FederationView:
        """Read the contract's summary of a federation."""
        data = self._read(call_data("federationOf(bytes32)", federation))
        return words.decode(FederationView, data, kind="federation's state")

    def accumulator(self, federation: FederationId, *, block: int | None = None) -> Digest:
        """Read the history accumulator, as a block left it or as the pending one would."""
        return Digest(self._read(call_data("accumulator(bytes32)", federation), block=block))

    def result_at(self, federation: FederationId, height: int) -> Digest:
        """Read the digest of the accepted result of a height, or zero."""
        return Digest(self._read(call_data("resultAt(bytes32,uint32)", federation, height)))

    def credit(self, federation: FederationId, account: Address) -> Wei:
        """Read what withdraw_bond would pay."""
        data = self._read(call_data("creditOf(bytes32,address)", federation, account))
        return Wei(int.from_bytes(data, "big"))


def created_address(account: Address, nonce: int) -> Address:
    """Give the address of the contract that an account creates with its transaction `nonce`."""
    item = [to_canonical_address(account), nonce]
    return Address(to_checksum_address(keccak(rlp.encode(item))[12:]))


def deploy(chain: Chain, account: Account, *, salt: Digest = ZERO_DIGEST) -> Address:
    """Deploy the shipped contract, or find it deployed; return its address."""
    plan = deployment(_deployer(chain, account), salt)
    if not chain.code(plan.address):
        chain.send(account, plan.deployer, plan.call_data)
        if not chain.code(plan.address):
            raise UnknownContract(plan.address, "the deployer did not put the contract there")
    return plan.address


def _deployer(chain: Chain, account: Account) -> Address:
    """Find a deployer: the well-known one, one that the account made before, or a new one."""
    if chain.code(DETERMINISTIC_DEPLOYER):
        return DETERMINISTIC_DEPLOYER
    shipped = artifact("Create2Deployer").bytecode
    for nonce in range(DEPLOYER_NONCES):
        code = chain.code(candidate := created_address(account.address, nonce))
        if code and shipped.endswith(code):
            return candidate
    created = chain.send(account, None, shipped).contract
    if created is None:
        raise UnknownContract(ZERO_ADDRESS, "the node names no address for the new deployer")
    return created


def find_deployment(
    address: Address,
    *,
    deployers: Iterable[Address] = (),
    accounts: Iterable[Address] = (),
    salt: Digest = ZERO_DIGEST,
) -> Deployment | None:
    """Show that CREATE2 of the shipped bytecode gives an address; None if it does not.

    Tried are the well-known deployer, the given ones, and those that the given accounts may have
    made with one of their first transactions. Needs no chain: it is arithmetic.
    """
    candidates = [DETERMINISTIC_DEPLOYER, *deployers]
    candidates += [created_address(a, nonce) for a in accounts for nonce in range(DEPLOYER_NONCES)]
    for candidate in candidates:
        plan = deployment(candidate, salt)
        if plan.address == address:
            return plan
    return None


def is_ours(
    chain: Chain,
    address: Address,
    *,
    deployers: Iterable[Address] = (),
    accounts: Iterable[Address] = (),
) -> bool:
    """Say whether the address has a contract and CREATE2 of the shipped one is that address."""
    found = find_deployment(address, deployers=deployers, accounts=accounts)
    return found is not None and bool(chain.code(address))
