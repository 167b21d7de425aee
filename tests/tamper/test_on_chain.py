"""Tampering where only the real contract, the real accumulator and real bundles can answer."""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest

from fednode.auditing import run_audit
from ledger import artefacts, cbor
from ledger.audit import verdict as v
from ledger.audit.sources import bundle_evidence, evidence_from_bundle
from ledger.chain.client import Chain
from ledger.chain.errors import ContractRejected
from ledger.chain.federations import deploy, find_deployment
from ledger.cid import CID
from ledger.contracts import DETERMINISTIC_DEPLOYER, create2_address
from ledger.errors import LedgerError
from ledger.stores import Artefact, RecordingStore
from ledger.stores.car import read_car, write_car
from ledger.types import ZERO_DIGEST, Address
from tests.tamper.live import MEMBERS, Live
from tests.tamper.world import CREATOR, STRANGER, account

FLIPS = 40
ACCOUNTS = [account(number) for number in range(MEMBERS + 2)]


def chain() -> Chain:
    return Chain.embedded([a.address for a in ACCOUNTS])


@cache
def told() -> Live:
    """Give a federation that has ended and settled; tests only add claims to it."""
    on = chain()
    live = Live(on, deploy(on, account(CREATOR)), ACCOUNTS)
    live.round()
    live.round()
    live.settle()
    return live


def test_a_real_federation_passes() -> None:
    live = told()
    verdict = run_audit(live.evidence())
    assert verdict.holds, verdict.finding
    assert verdict.paid > 0
    assert {check.step for check in verdict.checks} >= {*v.STEPS} - {v.CLAIMS}


def test_claiming_twice_or_too_much_reverts() -> None:
    live = told()
    claim = partial(live.contract.claim, account(STRANGER), live.federation, leaves=MEMBERS)
    with pytest.raises(ContractRejected, match="InvalidProof"):
        claim([live.proof(more=1)])
    if live.replica.refresh().claims == []:
        claim([live.proof()])
    with pytest.raises(ContractRejected, match="NothingToClaim"):
        claim([live.proof()])
    verdict = run_audit(live.evidence())
    assert verdict.holds, verdict.finding
    claimed = {p.index: p.claimed for p in verdict.participants}
    assert sum(claimed.values()) == live.proof().amount


@pytest.mark.parametrize("bytecode", ["the same, by a plain transaction", "altered"])
def test_another_contract_that_emits_our_events(bytecode: str) -> None:
    """A look-alike that does everything right, today: the audit does not trust what it may do."""
    on = chain()
    plan = find_deployment(deploy(on, account(CREATOR)))
    assert plan is not None
    code = plan.init_code
    if bytecode == "altered":
        # The trailing byte is never executed; the program is another one all the same.
        code += b"\0"
        fake: Address | None = create2_address(DETERMINISTIC_DEPLOYER, ZERO_DIGEST, code)
        on.send(account(CREATOR), DETERMINISTIC_DEPLOYER, ZERO_DIGEST + code)
    else:
        fake = on.send(account(CREATOR), None, code).contract
    assert fake is not None
    live = Live(on, fake, ACCOUNTS)
    live.round()
    verdict = run_audit(live.evidence())
    assert verdict.finding is not None
    assert verdict.finding.step is v.CONTRACT


# -- bundles


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    live = told()
    path = tmp_path_factory.mktemp("bundle") / "evidence.car"
    evidence = replace(live.evidence(), store=RecordingStore(live.store))
    assert run_audit(evidence).holds
    return path, bundle_evidence(path, evidence, live.chain).hash


def judged(path: Path, trust: bytes) -> v.Finding | None:
    """Open and audit a bundle; one that is refused outright was found at its bytes."""
    try:
        return run_audit(evidence_from_bundle(path, trust)).finding
    except LedgerError as error:
        return v.Finding(v.BYTES, None, "the bundle", "", str(error), None)


def test_a_bundle_passes_where_chain_and_store_are_gone(bundled: tuple[Path, bytes]) -> None:
    path, trust = bundled
    assert judged(path, trust) is None


def test_a_bundle_with_an_altered_byte_is_refused(
    bundled: tuple[Path, bytes], tmp_path: Path
) -> None:
    path, trust = bundled
    data, rng = path.read_bytes(), random.Random(3)
    other = tmp_path / "altered.car"
    for _ in range(FLIPS):
        altered = bytearray(data)
        altered[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        other.write_bytes(altered)
        assert judged(other, trust) is not None
    for _ in range(FLIPS // 4):
        other.write_bytes(data[: rng.randrange(len(data))])
        assert judged(other, trust) is not None
    assert judged(path, bytes(32)) is not None


Manifest = dict[str, cbor.Value]
Bend = Callable[[Manifest, dict[CID, bytes], list[cbor.Value]], None]


def rebuilt(path: Path, other: Path, bend: Bend) -> None:
    """Bend a bundle's events or manifest, and make everything hash again."""
    artefact = read_car(path.read_bytes())
    blocks = dict(artefact.blocks)
    manifest = cbor.decode(blocks.pop(artefact.roots[0]))
    assert isinstance(manifest, dict)
    manifest = dict(manifest)
    pages = manifest["events"]
    assert isinstance(pages, list)
    rows: list[cbor.Value] = []
    for page in pages:
        assert isinstance(page, CID)
        found = cbor.decode(blocks.pop(page))
        assert isinstance(found, list)
        rows += found
    bend(manifest, blocks, rows)
    cid, data = artefacts.record(rows)
    blocks[cid] = data
    manifest["events"] = [cid]
    root, data = artefacts.record(manifest)
    other.write_bytes(write_car(Artefact((root,), {**blocks, root: data})))


def _drop(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
    del rows[len(rows) // 2]


def _swap(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
    rows[2], rows[3] = rows[3], rows[2]


def _repeat(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
    rows.append(rows[-1])


def _retime(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
    row = rows[5]
    assert isinstance(row, list)
    assert isinstance(row[2], int)
    rows[5] = [*row[:2], row[2] + 1, *row[3:]]


def _unblock(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
    # Of the audit's blocks, not the proof's: the policy's header is the one of its size.
    size = len(told().setting.header.encode())
    del blocks[next(cid for cid, data in blocks.items() if len(data) == size)]


def _adopt(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
    manifest["deployer"] = bytes.fromhex(account(STRANGER).address[2:])


def _unsign(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
    """Take the signed transactions away, so that nobody can be shown to have signed."""
    pages = manifest["transactions"]
    assert isinstance(pages, list)
    assert isinstance(pages[0], CID)
    found = cbor.decode(blocks[pages[0]])
    assert isinstance(found, list)
    bare: list[cbor.Value] = [[*row[:2], None] for row in found if isinstance(row, list)]
    cid, data = artefacts.record(bare)
    blocks[cid] = data
    manifest["transactions"] = [cid]


@pytest.mark.parametrize(
    ("bend", "step"),
    [
        (_drop, v.HISTORY),
        (_swap, v.HISTORY),
        (_repeat, v.HISTORY),
        (_retime, v.HISTORY),
        (_unblock, v.BYTES),
        (_adopt, v.CONTRACT),
    ],
)
def test_a_bundle_that_was_rebuilt_is_found(
    bundled: tuple[Path, bytes], tmp_path: Path, bend: Bend, step: v.Step
) -> None:
    path, trust = bundled
    other = tmp_path / "rebuilt.car"
    rebuilt(path, other, bend)
    finding = judged(other, trust)
    assert finding is not None
    assert finding.step is step


def test_a_bundle_without_signatures_rests_on_the_contract(
    bundled: tuple[Path, bytes], tmp_path: Path
) -> None:
    path, trust = bundled
    other = tmp_path / "unsigned.car"
    rebuilt(path, other, _unsign)
    verdict = run_audit(evidence_from_bundle(other, trust))
    assert verdict.holds
    assert any("signer is not recovered" in note for note in verdict.notes)
