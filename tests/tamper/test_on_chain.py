"""Tampering where only the real contract, the real accumulator and real bundles can answer."""

import random
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import pytest
from eth_utils.crypto import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fednode.auditing import run_audit
from ledger import artefacts, cbor
from ledger.audit import verdict as v
from ledger.audit.sources import bundle_evidence, evidence_from_bundle
from ledger.bundle import BundleRefused
from ledger.chain.accounts import Account
from ledger.chain.client import Chain
from ledger.chain.errors import ContractRejected
from ledger.chain.federations import deploy, find_deployment
from ledger.chain.transactions import read_transaction
from ledger.cid import CID, Codec
from ledger.contracts import DETERMINISTIC_DEPLOYER, create2_address
from ledger.errors import MalformedRecord
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
    assert verdict.due > 0
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


def refused(path: Path, trust: bytes) -> str | None:
    """Say why a bundle is refused; one that opens must be judged as it was before."""
    try:
        verdict = run_audit(evidence_from_bundle(path, trust))
    except (BundleRefused, MalformedRecord) as error:
        return str(error)
    assert verdict.word == "holds", verdict.finding
    return None


def test_a_bundle_passes_where_chain_and_store_are_gone(bundled: tuple[Path, bytes]) -> None:
    path, trust = bundled
    assert refused(path, trust) is None


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
        assert refused(other, trust) is not None
    for _ in range(FLIPS // 4):
        other.write_bytes(data[: rng.randrange(len(data))])
        assert refused(other, trust) is not None
    assert refused(path, bytes(32)) is not None


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


def _without_updates(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
    state = told().replica.refresh()
    for commit in state.rounds[0].commits:
        del blocks[CID(Codec.RAW, commit.digest)]


def _without_result(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
    del blocks[CID(Codec.RAW, told().replica.refresh().lineage[0].result)]


def _without_identities(
    manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]
) -> None:
    for member in told().replica.refresh().participants:
        del blocks[CID(Codec.DAG_CBOR, member.identity)]


Change = Callable[[list[cbor.Value], dict[CID, bytes]], list[cbor.Value]]


def _transactions(change: Change) -> Bend:
    def bend(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
        pages = manifest["transactions"]
        assert isinstance(pages, list)
        assert isinstance(pages[0], CID)
        found = cbor.decode(blocks[pages[0]])
        assert isinstance(found, list)
        cid, data = artefacts.record(change(found, blocks))
        blocks[cid] = data
        manifest["transactions"] = [cid]

    return bend


def _stripped(rows: list[cbor.Value], blocks: dict[CID, bytes]) -> list[cbor.Value]:
    return [[*row[:2], None, None] for row in rows if isinstance(row, list)]


def _half(rows: list[cbor.Value], blocks: dict[CID, bytes]) -> list[cbor.Value]:
    return rows[: len(rows) // 2]


def _exchanged(rows: list[cbor.Value], blocks: dict[CID, bytes]) -> list[cbor.Value]:
    links = [row[2] for row in rows if isinstance(row, list)]
    turned = [*links[1:], links[0]]
    return [[*row[:2], link, row[3]] for row, link in zip(rows, turned, strict=True)]  # type: ignore[index,misc]


BENT: dict[str, tuple[Bend, str]] = {
    "event left out": (_drop, "expected h 0x"),
    "events swapped": (_swap, "expected h 0x"),
    "event repeated": (_repeat, "."),
    "time altered": (_retime, "expected h 0x"),
    "without the policy": (_unblock, "not in this bundle"),
    "without updates": (_without_updates, "not in this bundle"),
    "without a result": (_without_result, "not in this bundle"),
    "without identities": (_without_identities, "not in this bundle"),
    "all signatures stripped": (_transactions(_stripped), "not in this bundle"),
    "half of the transactions": (_transactions(_half), "not in this bundle"),
    "transactions exchanged": (_transactions(_exchanged), "a transaction"),
}


@pytest.mark.parametrize("name", BENT)
def test_a_bundle_that_was_rebuilt_is_refused(
    bundled: tuple[Path, bytes], tmp_path: Path, name: str
) -> None:
    path, trust = bundled
    bend, reason = BENT[name]
    other = tmp_path / "rebuilt.car"
    rebuilt(path, other, bend)
    said = refused(other, trust)
    assert said is not None
    assert re.search(reason, said)
    assert not any(a.address in said for a in ACCOUNTS)


def test_a_wrong_word_about_the_deployer_changes_nothing(
    bundled: tuple[Path, bytes], tmp_path: Path
) -> None:
    path, trust = bundled
    other = tmp_path / "rebuilt.car"

    def adopt(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
        manifest["deployer"] = bytes.fromhex(account(STRANGER).address[2:])
        manifest["salt"] = bytes(range(32))

    rebuilt(path, other, adopt)
    assert refused(other, trust) is None


def _forged(at: int, by: Account, call: Callable[[bytes], bytes]) -> Bend:
    """Put a transaction that no block has in the place of one; its event names it."""

    def bend(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
        names: dict[bytes, bytes] = {}

        def change(found: list[cbor.Value], blocks: dict[CID, bytes]) -> list[cbor.Value]:
            row = found[at]
            assert isinstance(row, list)
            assert isinstance(row[2], CID)
            sent = read_transaction(blocks[row[2]])
            fields: dict[str, object] = {
                "nonce": 7,
                "gas": 90_000,
                "value": 0,
                "maxFeePerGas": 1,
                "maxPriorityFeePerGas": 1,
                "chainId": sent.chain_id,
                "to": sent.to,
                "data": call(sent.data),
            }
            raw = by.sign_transaction(fields)
            blocks[CID.of(Codec.RAW, raw)] = raw
            names[row[0]] = keccak(raw)
            new: list[cbor.Value] = [keccak(raw), row[1], CID.of(Codec.RAW, raw), row[3]]
            return [*found[:at], new, *found[at + 1 :]]

        _transactions(change)(manifest, blocks, rows)
        for place, row in enumerate(rows):
            assert isinstance(row, list)
            rows[place] = [*row[:3], names.get(row[3], row[3]), *row[4:]]

    return bend


def _bent_call(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 1]) + data[41:]


@pytest.mark.parametrize("at", range(1, 12))
@pytest.mark.parametrize("by", [account(STRANGER), account(3)], ids=["stranger", "member"])
def test_a_transaction_of_another_account_refuses_the_bundle(
    bundled: tuple[Path, bytes], tmp_path: Path, at: int, by: Account
) -> None:
    """Joins, commits, proposals and votes that somebody else signs again: no participant is
    named.
    """
    path, trust = bundled
    other = tmp_path / "forged.car"
    rebuilt(path, other, _forged(at, by, lambda data: data))
    said = refused(other, trust)
    if said is not None:
        assert "who signed by the contract's word" in said
    else:  # the account's own call, signed once more
        assert by is account(3)
    rebuilt(
        path, other, _forged(at, by, lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:])
    )
    assert refused(other, trust) is not None


@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=25, deadline=None, suppress_health_check=[*HealthCheck])
def test_what_is_bent_at_random_is_refused_or_judged_the_same(
    bundled: tuple[Path, bytes], tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    path, trust = bundled
    rng = random.Random(seed)

    def bend(manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]) -> None:
        for _ in range(rng.randint(1, 3)):
            rng.choice((_lose_block, _bend_value, _bend_value, _shuffle))(
                rng, manifest, blocks, rows
            )

    other = tmp_path_factory.getbasetemp() / "bent.car"
    rebuilt(path, other, bend)
    refused(other, trust)


def _lose_block(
    rng: random.Random, manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]
) -> None:
    del blocks[rng.choice(sorted(blocks))]


def _shuffle(
    rng: random.Random, manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]
) -> None:
    at, to = rng.randrange(len(rows)), rng.randrange(len(rows))
    rows[at], rows[to] = rows[to], rows[at]


def _bend_value(
    rng: random.Random, manifest: Manifest, blocks: dict[CID, bytes], rows: list[cbor.Value]
) -> None:
    """Bend a value of the manifest, of an event or of a transaction; pages are hashed again."""
    where = rng.choice(("manifest", "events", "transactions"))
    if where == "manifest":
        name = rng.choice(sorted(manifest))
        manifest[name] = _other(rng, manifest[name], blocks)
    elif where == "events":
        at = rng.randrange(len(rows))
        rows[at] = _other(rng, rows[at], blocks)
    else:

        def change(found: list[cbor.Value], _: dict[CID, bytes]) -> list[cbor.Value]:
            at = rng.randrange(len(found))
            return [*found[:at], _other(rng, found[at], blocks), *found[at + 1 :]]

        # Another bend may have put something else in the place of the page.
        with suppress(MalformedRecord, AssertionError, IndexError, KeyError, ValueError):
            _transactions(change)(manifest, blocks, rows)


def _other(rng: random.Random, value: cbor.Value, blocks: dict[CID, bytes]) -> cbor.Value:
    if isinstance(value, list) and value and rng.random() < 0.9:
        at = rng.randrange(len(value))
        return [*value[:at], _other(rng, value[at], blocks), *value[at + 1 :]]
    kinds: list[cbor.Value] = [
        None,
        True,
        rng.randrange(-3, 1 << 40),
        rng.randbytes(rng.choice((0, 20, 32, 32, 100))),
        "text",
        rng.choice(sorted(blocks)),
        [],
    ]
    if isinstance(value, bytes) and value and rng.random() < 0.5:
        at = rng.randrange(len(value))
        return value[:at] + bytes([value[at] ^ 1 << rng.randrange(8)]) + value[at + 1 :]
    if isinstance(value, int) and rng.random() < 0.5:
        return value + rng.choice((-1, 1))
    return rng.choice(kinds)
