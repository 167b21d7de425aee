"""The `Federations` contract as typed methods, and its deployment.

Calls are encoded with the shipped ABI; the contract's custom errors come back as ContractRejected.
An address is ours if CREATE2 (EIP-1014) puts the shipped bytecode there: that needs no trust in the
node, whoever sent the deployment.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import astuple, dataclass

import rlp
from eth_abi.abi import decode as abi_decode
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.crypto import keccak

from ledger import words
from ledger.address import parse_address
from ledger.chain.accounts import Account
from ledger.chain.calls import call, call_data
from ledger.chain.client import Chain
from ledger.chain.errors import (
    BlockTooSmall,
    ChainBusy,
    ChainTooOld,
    ContractRejected,
    Reverted,
    RpcRefused,
    TokenUnusable,
    TransactionTooLarge,
    UnknownContract,
)
from ledger.chain.refusals import naming_errors
from ledger.chain.types import Log, Receipt
from ledger.contracts import DETERMINISTIC_DEPLOYER, Deployment, artifact, deployment
from ledger.credits import Credit
from ledger.headers import PolicyHeader, ResultHeader
from ledger.history import (
    TOPIC_OF,
    DemandOpened,
    FederationCreated,
    ParticipantJoined,
    PayoutClaimed,
)
from ledger.signatures import Invitation, Signature
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
from ledger.words import AddressWord, BoolWord, Bytes32, UInt8, UInt32, UInt64, UInt128, UInt256

DEPLOYER_NONCES = 32
CREATION_GAS = 53_000
STORED_GAS, BYTE_GAS, ZERO_GAS = 200, 16, 12
"""What a contract's creation costs: for each byte of its code, and less for a zero that is sent."""
PAYEE_GAS = 100_000
"""Gas that the contract gives each of several payees in ether; mirror of `Money.sol`."""
TOKEN_GAS = 300_000
"""Gas that it gives each of several payees in a token."""


@dataclass(frozen=True, slots=True)
class FederationView:
    """The contract's own summary of a federation."""

    phase: UInt8
    round: UInt32
    last_round: UInt32
    attempt: UInt8
    seats: UInt32
    known: UInt32
    commits: UInt32
    batched: UInt32
    deadline: UInt64
    turn_missed: BoolWord
    head: Bytes32
    head_height: UInt32
    settled_height: UInt32
    standing: Bytes32
    last_accepted: UInt64
    joined: UInt32
    active: UInt32
    creator: AddressWord
    token: AddressWord
    pool: UInt128
    paid: UInt128
    fees: UInt128
    refunded: BoolWord


@dataclass(frozen=True, slots=True)
class ParticipantView:
    """The contract's own summary of a participant."""

    signer: AddressWord
    controller: AddressWord
    payout: AddressWord
    identity: Bytes32
    datasets: UInt32
    active_from: UInt32
    active_until: UInt32
    slashed: BoolWord
    stake: UInt128
    left_at: UInt64
    paid: UInt128


@dataclass(frozen=True, slots=True)
class ResultView:
    """What the contract keeps of a result."""

    payouts: Bytes32
    payout_total: UInt128
    proposer: AddressWord
    round: UInt32
    attempt: UInt8
    height: UInt32
    known: UInt32
    challenge_deadline: UInt64
    challenges: UInt32
    resolved: UInt32
    status: UInt8
    stop: BoolWord
    ballots: UInt256
    proofs: UInt32
    held: BoolWord
    proven: BoolWord


@dataclass(frozen=True, slots=True)
class Membership:
    """What a participant joins with. An open federation takes no invitation; a transaction of the
    controller's own needs no consent.
    """

    signer: Address
    payout: Address
    identity: Digest
    dataset_root: Digest
    rows: int
    key: bytes = ZERO_DIGEST
    expires: int = 0
    invitation: bytes = b""
    controller: Address | None = None
    consent: bytes = b""


@dataclass(frozen=True, slots=True)
class Ballot:
    """A vote on the standing proposal. `vacant` are the bits of vacant places that show a seat
    which has moved up: see `Committee.vacant`.
    """

    round: RoundIndex
    attempt: int
    result: Digest
    support: bool
    vacant: int = 0

    @property
    def place(self) -> tuple[RoundIndex, int, Digest, int]:
        """What it is about, as the contract takes it."""
        return self.round, self.attempt, self.result, self.vacant


@dataclass(frozen=True, slots=True)
class PayoutProof:
    """A participant's leaf of the payout tree and the siblings on its path, from the leaf up."""

    participant: ParticipantId
    amount: Wei
    hashes: Sequence[Digest]
    sums: Sequence[int]


@dataclass(frozen=True, slots=True)
class Dispute:
    """A challenge to a result by its number."""

    federation: FederationId
    result: Digest
    challenge: int = 0


_OLD = bytes.fromhex("600160005260206000f3")
"""Returns the word 1: PUSH1 1 PUSH1 0 MSTORE PUSH1 32 PUSH1 0 RETURN."""
_SHANGHAI = bytes.fromhex("60015f5260205ff3")
"""The same with PUSH0 (EIP-3855)."""
_CANCUN = bytes.fromhex("60015f5260205f60205e60206020f3")
"""The same, of a copy of the word that MCOPY makes (EIP-5656)."""
_EVIDENCE = keccak(text="Evidence(bytes32,bytes)")


class Federations:
    """The contract at an address. Every sending method simulates first, then waits."""

    def __init__(self, chain: Chain, address: Address | str, *, since: int | None = None) -> None:
        try:
            self.address = parse_address(address)
        except ValueError as error:
            raise UnknownContract(Address(str(address)), str(error)) from None
        self.chain = chain
        self._gas: int | None = None
        self._since = since
        if not chain.code(self.address):
            raise UnknownContract(
                self.address, "there is no contract; deploy one or mend the address"
            )

    def first_block(self) -> int:
        """Give the block that the contract's logs are read from: the one that was named, or that of
        its deployment.
        """
        return self.chain.first_block(self.address) if self._since is None else self._since

    def limited(self, gas: int) -> "Federations":
        """Give the contract for transactions of this amount of gas: see `Chain.send`."""
        limited = copy(self)
        limited._gas = gas
        return limited

    def _send(self, account: Account, data: bytes, *, value: int = 0) -> Receipt:
        with naming_errors():
            return self.chain.send(account, self.address, data, value=value, gas=self._gas)

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

    # -- federations and who takes part

    def create(
        self,
        account: Account,
        policy: PolicyHeader,
        *,
        salt: Digest = ZERO_DIGEST,
        ancestor: ResultHeader | None = None,
    ) -> tuple[FederationId, Receipt]:
        """Create a federation and fund its pool; a pool in a token needs `approve` before.

        `ancestor` is the settled result that it goes on from.
        """
        header = b"" if ancestor is None else ancestor.encode()
        value = policy.pool if policy.token == ZERO_ADDRESS else 0
        data = call("createFederation", astuple(policy), salt, header)
        receipt = self._send(account, data, value=value)
        log = self._own_log(receipt, TOPIC_OF[FederationCreated])
        return FederationId(log.topics[1]), receipt

    def require_known(self) -> None:
        """Refuse a contract that does not answer as ours does; whether it is ours, an audit says.

        Nobody can create a federation with the id zero.
        """
        try:
            self._read(call("federationOf", bytes(32)))
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
        """Join with the policy's stake, which the sender pays and the controller gets back."""
        application = (
            membership.controller or account.address,
            membership.signer,
            membership.payout,
            membership.identity,
            membership.key,
            membership.dataset_root,
            membership.rows,
            membership.expires,
        )
        signed = (membership.invitation, membership.consent)
        receipt = self._send(account, call("join", federation, application, *signed), value=stake)
        log = self._own_log(receipt, TOPIC_OF[ParticipantJoined])
        return ParticipantId(int.from_bytes(log.data[:32], "big")), receipt

    def leave(
        self, account: Account, federation: FederationId, participant: ParticipantId
    ) -> Receipt:
        """Give up the seat from the next round on; by the controller."""
        return self._send(account, call("leave", federation, participant))

    def rotate_signer(
        self,
        account: Account,
        federation: FederationId,
        participant: ParticipantId,
        signer: Address,
    ) -> Receipt:
        """Replace a participant's signer from the next round on; by the controller."""
        return self._send(account, call("rotateSigner", federation, participant, signer))

    def register_key(
        self, account: Account, federation: FederationId, participant: ParticipantId, key: bytes
    ) -> Receipt:
        """Replace the key that sealed artefacts are encrypted to; by the controller."""
        return self._send(account, call("registerKey", federation, participant, key))

    def commit_dataset(
        self,
        account: Account,
        invitation: Invitation,
        *,
        participant: ParticipantId,
        signature: bytes = b"",
    ) -> Receipt:
        """Commit to another data set, as the creator attests it; by the controller."""
        data = call(
            "commitDataset",
            invitation.federation,
            participant,
            invitation.dataset_root,
            invitation.rows,
            invitation.expires,
            signature,
        )
        return self._send(account, data)

    def amend_dataset(
        self,
        account: Account,
        federation: FederationId,
        participant: ParticipantId,
        *,
        root: Digest,
        rows: int,
        erasure: Digest = ZERO_DIGEST,
    ) -> Receipt:
        """Commit to a data set of no more rows than are attested; by the controller."""
        data = call("amendDataset", federation, participant, root, rows, erasure)
        return self._send(account, data)

    def withdraw_stake(
        self, account: Account, federation: FederationId, participant: ParticipantId
    ) -> Receipt:
        """Pay what is left of the stake back to the controller; by anybody."""
        return self._send(account, call("withdrawStake", federation, participant))

    # -- rounds

    def commit_update(
        self,
        account: Account,
        federation: FederationId,
        round_index: RoundIndex,
        digest: Digest,
    ) -> Receipt:
        """Commit to an update's header; by the signer of a seat."""
        return self._send(account, call("commitUpdate", federation, round_index, digest))

    def post_batch(
        self,
        account: Account,
        federation: FederationId,
        round_index: RoundIndex,
        *,
        root: Digest,
        leaves: int,
        index: Digest,
    ) -> Receipt:
        """Post the root over signed commits; by the policy's relay."""
        data = call("postBatch", federation, round_index, root, leaves, index)
        return self._send(account, data)

    def open_slice(
        self,
        account: Account,
        federation: FederationId,
        round_index: RoundIndex,
        digest: Digest,
    ) -> Receipt:
        """Announce the rows that a round is measured on; by their holder."""
        return self._send(account, call("openSlice", federation, round_index, digest))

    def propose_result(
        self,
        account: Account,
        header: ResultHeader,
        index: Digest,
        *,
        bond: Wei,
        signature: bytes = b"",
    ) -> Receipt:
        """Propose a result with the policy's bond; with a signature, for who signed it."""
        federation = header.common.federation
        data = call("proposeResult", federation, astuple(header), index, signature)
        return self._send(account, data, value=bond)

    def vote(self, account: Account, federation: FederationId, ballot: Ballot) -> Receipt:
        """Vote on the standing proposal; by the signer of a seat."""
        return self._send(account, call("vote", federation, *ballot.place, ballot.support))

    def post_votes(
        self,
        account: Account,
        federation: FederationId,
        ballot: Ballot,
        signatures: Sequence[tuple[bool, Signature]],
    ) -> Receipt:
        """Post signed votes on the standing proposal, each with what it says; by anybody."""
        votes = [(support, signed.r, signed.vs) for support, signed in signatures]
        return self._send(account, call("postVotes", federation, *ballot.place, votes))

    def advance(self, account: Account, federation: FederationId) -> Receipt:
        """Do what is due: pass a deadline, settle results; by anybody."""
        return self._send(account, call("advance", federation))

    def close(self, account: Account, federation: FederationId) -> Receipt:
        """End a federation that has been idle for its idle window; by anybody."""
        return self._send(account, call("close", federation))

    def checkpoint(self, account: Account, federation: FederationId) -> Receipt:
        """Emit the history accumulator unchanged; by anybody."""
        return self._send(account, call("checkpoint", federation))

    # -- disputes

    def commit_proof(
        self,
        account: Account,
        federation: FederationId,
        result: Digest,
        *,
        commitment: Digest,
        bond: Wei,
    ) -> Receipt:
        """Challenge a result by a proof that is shown later; by anybody."""
        return self._send(account, call("commitProof", federation, result, commitment), value=bond)

    def demand(
        self,
        account: Account,
        federation: FederationId,
        result: Digest,
        *,
        evidence: bytes,
        bond: Wei,
    ) -> Receipt:
        """Challenge a result by demanding bytes that it rests on; by anybody."""
        return self._send(account, call("demand", federation, result, evidence), value=bond)

    def answer(self, account: Account, demand: DemandOpened, data: bytes) -> Receipt:
        """Open what was demanded; by anybody."""
        target = (
            demand.kind,
            demand.root,
            demand.total,
            demand.size,
            demand.level,
            demand.position,
        )
        which = (demand.federation, demand.result, demand.challenge)
        return self._send(account, call("answer", *which, target, data))

    def recommit_proof(self, account: Account, dispute: Dispute, commitment: Digest) -> Receipt:
        """Go on with a proof after an answer; by the challenger."""
        return self._send(account, call("recommitProof", *astuple(dispute), commitment))

    def redemand(self, account: Account, dispute: Dispute, evidence: bytes) -> Receipt:
        """Go on with a demand after an answer; by the challenger."""
        return self._send(account, call("redemand", *astuple(dispute), evidence))

    def concede(self, account: Account, dispute: Dispute) -> Receipt:
        """End a challenge after an answer, for a part of its bond; by the challenger."""
        return self._send(account, call("concede", *astuple(dispute)))

    def open_proof(
        self, account: Account, dispute: Dispute, proof: bytes, *, attempt: int, salt: Digest
    ) -> Receipt:
        """Open a committed proof, in a later block; by the challenger."""
        which = (dispute.federation, dispute.result, attempt, dispute.challenge)
        return self._send(account, call("openProof", *which, proof, salt))

    def expire_challenge(
        self, account: Account, federation: FederationId, result: Digest
    ) -> Receipt:
        """Do what follows when a challenge's clock has run out; by anybody."""
        return self._send(account, call("expireChallenge", federation, result))

    def reclaim_challenge(self, account: Account, dispute: Dispute, *, attempt: int) -> Receipt:
        """End a challenge to an attempt that fell; by anybody."""
        which = (dispute.federation, dispute.result, attempt, dispute.challenge)
        return self._send(account, call("reclaimChallenge", *which))

    def release_bond(
        self, account: Account, federation: FederationId, result: Digest, *, attempt: int
    ) -> Receipt:
        """Credit the bond of an attempt that fell and is answerable no more; by anybody."""
        return self._send(account, call("releaseBond", federation, result, attempt))

    def charge_unavailable(
        self, account: Account, federation: FederationId, result: Digest, evidence: bytes
    ) -> Receipt:
        """Charge whose update a settled result calls unavailable; by anybody."""
        return self._send(account, call("chargeUnavailable", federation, result, evidence))

    # -- money

    def claim(
        self,
        account: Account,
        federation: FederationId,
        proofs: Sequence[PayoutProof],
        *,
        leaves: int,
    ) -> Receipt:
        """Pay participants, to their payout addresses; by any account. The payout tree has `leaves`
        leaves. `payouts` says which of several were paid.
        """
        claims = [
            (p.participant, p.amount, list(zip(p.hashes, p.sums, strict=True))) for p in proofs
        ]
        return self._send(account, call("claim", federation, leaves, claims))

    def payouts(self, receipt: Receipt) -> dict[ParticipantId, Wei]:
        """Read which participants a claim has paid, and how much."""
        topic = TOPIC_OF[PayoutClaimed]
        own = (log for log in receipt.logs if log.address == self.address)
        words_ = (log.data for log in own if log.topics[0] == topic)
        return {
            ParticipantId(int.from_bytes(data[:32], "big")): Wei(int.from_bytes(data[64:96], "big"))
            for data in words_
        }

    def refund(self, account: Account, federation: FederationId) -> Receipt:
        """Pay the creator what payouts and fees leave of the pool; by anybody."""
        return self._send(account, call("refund", federation))

    def collect_fees(
        self,
        account: Account,
        federation: FederationId,
        participant: ParticipantId,
        results: Sequence[Digest],
    ) -> Receipt:
        """Credit the fees of a participant's votes on settled results; by anybody."""
        return self._send(account, call("collectFees", federation, participant, list(results)))

    def withdraw(self, account: Account, federation: FederationId, owner: Address) -> Receipt:
        """Pay an owner all that was credited to it; by anybody."""
        return self._send(account, call("withdraw", federation, owner))

    # -- reading

    def evidence(self, result: Digest, since: int) -> list[bytes]:
        """Give what was opened of a result since a block, its header first."""
        topics = (_EVIDENCE, bytes(result))
        newest = self.chain.block_number()
        logs = self.chain.logs(self.address, topics, since, newest)
        return [abi_decode(["bytes"], log.data)[0] for log in logs]

    def view(self, federation: FederationId) -> FederationView:
        """Read the contract's summary of a federation."""
        data = self._read(call("federationOf", federation))
        return words.decode(FederationView, data, kind="federation's state")

    def participant(self, federation: FederationId, participant: int) -> ParticipantView:
        """Read the contract's summary of a participant."""
        data = self._read(call("participantOf", federation, participant))
        return words.decode(ParticipantView, data, kind="participant's state")

    def result(
        self, federation: FederationId, result: Digest, *, attempt: int | None = None
    ) -> ResultView:
        """Read what the contract keeps of a result: in its newest attempt, or in a given one."""
        newest = call("resultOf", federation, result)
        given = attempt is not None
        data = self._read(call("attemptOf", federation, result, attempt) if given else newest)
        return words.decode(ResultView, data, kind="result's state")

    def accumulator(self, federation: FederationId, *, block: int | None = None) -> Digest:
        """Read the history accumulator, as a block left it or as the pending one would."""
        return Digest(self._read(call("accumulator", federation), block=block))

    def credit(self, federation: FederationId, account: Address) -> Credit:
        """Read what `withdraw` would pay."""
        data = self._read(call("creditOf", federation, account))
        return Credit(int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big"))


def created_address(account: Address, nonce: int) -> Address:
    """Give the address of the contract that an account creates with its transaction `nonce`."""
    item = [to_canonical_address(account), nonce]
    return Address(to_checksum_address(keccak(rlp.encode(item))[12:]))


def deploy(chain: Chain, account: Account, *, salt: Digest = ZERO_DIGEST) -> Address:
    """Deploy the shipped contract and its libraries, as far as they are not there yet; return its
    address.
    """
    _require_cancun(chain)
    plan = deployment(_deployer(chain, account), salt)
    for part in (*plan.libraries, plan):
        if not chain.code(part.address):
            with _naming_small_blocks(chain, part.init_code):
                chain.send(account, part.deployer, part.call_data)
            if not chain.code(part.address):
                raise UnknownContract(part.address, "the deployer did not put the contract there")
    return plan.address


@contextmanager
def _naming_small_blocks(chain: Chain, code: bytes) -> Iterator[None]:
    """Turn the failure of a creation into BlockTooSmall, if a block holds less gas than it takes.

    Nodes estimate with the gas of a block, and word it as a plain revert.
    """
    try:
        yield
    except (Reverted, RpcRefused, TransactionTooLarge) as error:
        if isinstance(error, ChainBusy):
            raise
        limit = int.from_bytes(chain.newest().header.get("gasLimit", b""), "big")
        needed = CREATION_GAS + (STORED_GAS + BYTE_GAS) * len(code) - ZERO_GAS * code.count(0)
        if not 0 < limit < needed:
            raise
        raise BlockTooSmall(chain.endpoint, needed, limit) from error


def _require_cancun(chain: Chain) -> None:
    """Execute the newest instructions that the contracts are compiled to. Raise ChainTooOld.

    A header does not tell: chains without blobs lack its fields, and may have its instructions.
    """
    if _gives_one(chain, _CANCUN) or not _gives_one(chain, _OLD):
        return  # a node that executes no code that is not deployed cannot be asked
    shanghai = _gives_one(chain, _SHANGHAI)
    raise ChainTooOld(chain.endpoint, *(("MCOPY", "Cancun") if shanghai else ("PUSH0", "Shanghai")))


def _gives_one(chain: Chain, program: bytes) -> bool:
    try:
        return int.from_bytes(chain.call(None, program), "big") == 1
    except ChainBusy:
        raise
    except (Reverted, RpcRefused, TransactionTooLarge):
        return False


def _deployer(chain: Chain, account: Account) -> Address:
    """Find a deployer: the well-known one, one that the account made before, or a new one."""
    if chain.code(DETERMINISTIC_DEPLOYER):
        return DETERMINISTIC_DEPLOYER
    shipped = artifact("Create2Deployer").bytecode
    for nonce in range(DEPLOYER_NONCES):
        code = chain.code(candidate := created_address(account.address, nonce))
        if code and shipped.endswith(code):
            return candidate
    with _naming_small_blocks(chain, shipped):
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
