"""The typed binding: on every engine the same calls, the same events, the same named errors."""

from dataclasses import replace

import pytest

from ledger import history
from ledger.chain import federations
from ledger.chain.calls import call_data
from ledger.chain.errors import ContractRejected, UnknownContract
from ledger.chain.federations import Federations, Membership, deploy, find_deployment, is_ours
from ledger.chain.refusals import ADVICE, Phase, named_error
from ledger.contracts import artifact, deployment
from ledger.credits import Credit
from ledger.headers import federation_id
from ledger.history import HistoryReader
from ledger.signatures import Domain, Invitation
from ledger.types import Address, Digest, FederationId, ParticipantId, RoundIndex, Wei
from tests.accounts import new_account
from tests.engines import Engine, embedded
from tests.ledger.chain.samples import WINDOW, commit, digest, policy, start


def test_life_on_every_engine(engine: Engine) -> None:
    sample = start(engine)
    contract, federation = sample.contract, sample.federation
    assert contract.view(federation).phase == Phase.COMMIT
    commit(sample, 0)
    commit(sample, 1)
    view = contract.view(federation)
    assert (view.phase, view.commits, view.joined) == (Phase.PROPOSE, 2, 2)
    contract.checkpoint(engine.accounts[5], federation)

    reader = HistoryReader(engine.chain, contract.address, federation)
    events = reader.poll()
    assert [type(event).__name__ for event in events] == [
        "FederationCreated",
        "ParticipantJoined",
        "ParticipantJoined",
        "RoundOpened",
        "UpdateCommitted",
        "UpdateCommitted",
        "CommitClosed",
        "Checkpoint",
    ]
    assert reader.h == contract.accumulator(federation) == events[-1].h
    assert reader.poll() == []
    created, joined, *_, checkpoint = events
    assert isinstance(created, history.FederationCreated)
    assert created.creator == created.meta.sender == engine.accounts[0].address
    assert created.federation == federation_id(
        engine.chain.chain_id,
        contract.address,
        creator=created.creator,
        policy=policy(engine.chain.chain_id, contract.address).digest(),
        salt=Digest(created.salt),
    )
    assert isinstance(joined, history.ParticipantJoined)
    assert (joined.rows, joined.identity) == (100, digest(10))
    assert checkpoint.meta.sender == engine.accounts[5].address


def test_errors_have_names_and_nothing_is_sent(engine: Engine) -> None:
    sample = start(engine)
    commit(sample, 0)
    account = sample.members[0]
    balance = engine.chain.balance(account.address)
    with pytest.raises(ContractRejected) as refused:
        commit(sample, 0)
    assert refused.value.name == "AlreadyCommitted"
    assert refused.value.fields == {"participant": 0, "round": 0}
    with pytest.raises(ContractRejected, match="NothingToDo"):
        sample.contract.advance(account, sample.federation)
    assert engine.chain.balance(account.address) == balance
    with pytest.raises(ContractRejected, match=r"phase 'forming'|WrongRound"):
        sample.contract.commit_update(account, sample.federation, RoundIndex(5), digest(1))
    stranger = engine.accounts[4]
    with pytest.raises(ContractRejected) as refused:
        sample.contract.leave(stranger, sample.federation, ParticipantId(0))
    assert refused.value.name == "NotController"
    assert refused.value.advice


def test_policy_refused_names_the_key() -> None:
    engine = embedded()
    creator = engine.accounts[0]
    contract = Federations(engine.chain, deploy(engine.chain, creator))
    other = replace(policy(engine.chain.chain_id, contract.address), bound=0)
    with pytest.raises(ContractRejected) as refused:
        contract.create(creator, other)
    assert (refused.value.name, refused.value.fields) == ("PolicyRefused", {"key": "bound"})


def test_time_moves_through_wait_until() -> None:
    engine = embedded()
    sample = start(engine)
    commit(sample, 1)
    deadline = sample.contract.view(sample.federation).deadline
    blocks = engine.chain.block_number()
    engine.chain.wait_until(deadline)
    assert (engine.chain.now(), engine.chain.block_number()) == (deadline, blocks)
    engine.chain.wait_until(deadline - WINDOW)
    assert engine.chain.now() == deadline
    with pytest.raises(ContractRejected, match="DeadlinePassed"):
        commit(sample, 0)
    sample.contract.advance(engine.accounts[7], sample.federation)
    assert sample.contract.view(sample.federation).phase == Phase.PROPOSE
    receipt = engine.chain.block(engine.chain.block_number())
    assert receipt is not None
    assert receipt.timestamp == deadline


def test_invitation_opens_the_door() -> None:
    engine = embedded()
    creator, guest = engine.accounts[:2]
    contract = Federations(engine.chain, deploy(engine.chain, creator))
    header = policy(engine.chain.chain_id, contract.address, pool=10)
    federation, receipt = contract.create(creator, header)
    assert receipt.gas_used > 0
    assert engine.chain.balance(contract.address) == 10
    invitation = Invitation(
        federation, guest.address, digest(1), digest(2), rows=50, expires=engine.chain.now() + 99
    )
    domain = Domain(engine.chain.chain_id, contract.address)
    signed = domain.sign(creator, invitation).full
    membership = Membership(
        signer=new_account().address,
        payout=guest.address,
        identity=digest(1),
        dataset_root=digest(2),
        rows=50,
        expires=invitation.expires,
        invitation=signed,
    )
    stranger = engine.accounts[3]
    with pytest.raises(ContractRejected, match="InvitationRefused"):
        contract.join(stranger, federation, membership, stake=Wei(5))
    with pytest.raises(ContractRejected, match="WrongValue"):
        contract.join(guest, federation, membership, stake=Wei(4))
    index, _ = contract.join(guest, federation, membership, stake=Wei(5))
    assert index == 0
    with pytest.raises(ContractRejected, match="InvitationRefused"):
        contract.commit_dataset(guest, invitation, participant=index, signature=signed)
    later = replace(invitation, rows=40, dataset=1)
    signature = domain.sign(creator, later).full
    contract.commit_dataset(guest, later, participant=index, signature=signature)
    with pytest.raises(ContractRejected, match="InvitationRefused"):
        contract.commit_dataset(guest, later, participant=index, signature=signature)
    contract.rotate_signer(guest, federation, index, new_account().address)
    contract.leave(guest, federation, index)
    contract.withdraw_stake(stranger, federation, index)
    with pytest.raises(ContractRejected, match="RefundLocked"):
        contract.refund(creator, federation)
    engine.chain.wait_until(engine.chain.now() + 5 * WINDOW)
    contract.close(stranger, federation)
    contract.refund(stranger, federation)
    assert engine.chain.balance(contract.address) == 0
    assert contract.credit(federation, creator.address) == Credit()
    with pytest.raises(ContractRejected, match="NothingToWithdraw"):
        contract.withdraw(creator, federation, creator.address)


def test_deployment_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = embedded()
    owner = engine.accounts[0]
    address = deploy(engine.chain, owner)
    assert is_ours(engine.chain, address)
    assert deploy(engine.chain, engine.accounts[1]) == address
    # A chain without the well-known deployer: ours, made once and found again.
    monkeypatch.setattr(federations, "DETERMINISTIC_DEPLOYER", Address("0x" + "11" * 20))
    own = deploy(engine.chain, owner, salt=digest(3))
    assert own != address
    assert deploy(engine.chain, owner, salt=digest(3)) == own
    found = find_deployment(own, accounts=[owner.address], salt=digest(3))
    assert found is not None
    assert find_deployment(own, deployers=[found.deployer], salt=digest(3)) == found
    assert not is_ours(engine.chain, own, accounts=[engine.accounts[1].address])


def test_a_contract_commits_to_its_libraries() -> None:
    engine = embedded()
    address = deploy(engine.chain, engine.accounts[0])
    plan = deployment(find_deployment(address).deployer)  # type: ignore[union-attr]
    assert plan.address == address
    assert set(artifact("Federations").links) == {"Members", "Disputes", "Funds", "Policies"}
    for library in plan.libraries:
        assert engine.chain.code(library.address)
        code = bytes.fromhex(library.address[2:])
        assert any(code in other.init_code for other in (*plan.libraries, plan))


def test_another_contract_is_not_ours() -> None:
    engine = embedded()
    # Answers every call with one word, as a counterfeit would.
    code = bytes.fromhex("600a600c600039600a6000f3602a60005260206000f3")
    fake = engine.chain.send(engine.accounts[0], None, code).contract
    assert fake is not None
    assert not is_ours(engine.chain, fake, accounts=[engine.accounts[0].address])
    with pytest.raises(UnknownContract):
        Federations(engine.chain, new_account().address)
    with pytest.raises(UnknownContract):
        Federations(engine.chain, "0x1234")


def test_every_error_of_the_contract_has_advice() -> None:
    names = {e["name"] for e in artifact("Federations").abi if e["type"] == "error"}
    library = {
        "ECDSAInvalidSignature",
        "ECDSAInvalidSignatureLength",
        "ECDSAInvalidSignatureS",
        "InvalidShortString",
        "ReentrancyGuardReentrantCall",
        "SafeERC20FailedOperation",
        "StringTooLong",
    }
    assert names - library <= set(ADVICE)


def test_events_are_those_of_the_contract() -> None:
    abi = {e["name"]: e for e in artifact("Federations").abi if e["type"] == "event"}
    ours = {kind.__name__: kind for kind in history.EVENTS}
    assert set(ours) == set(abi) - {"EIP712DomainChanged", "Evidence"}
    for name, kind in ours.items():
        inputs = abi[name]["inputs"]
        assert tuple(i["type"] for i in inputs[1:-1]) == kind.words
        names = [
            "".join(("_" + c.lower()) if c.isupper() else c for c in i["name"]) for i in inputs
        ]
        assert names[1:-1] == list(history._NAMES[kind])
        assert [i["indexed"] for i in inputs] == [True] + [False] * (len(inputs) - 1)


def test_unknown_error_data_has_no_name() -> None:
    assert named_error(b"") is None
    assert named_error(b"\x01\x02\x03\x04") is None
    truncated = call_data("AlreadyCommitted(uint32,uint32)", 1, 2)[:-1]
    assert named_error(truncated) is None
    assert named_error(call_data("AlreadyCommitted(uint32,uint32)", 1, 2)) is not None


def test_unknown_federation_is_named(engine: Engine) -> None:
    contract = start(engine).contract
    with pytest.raises(ContractRejected, match="UnknownFederation"):
        contract.view(FederationId(digest(99)))
