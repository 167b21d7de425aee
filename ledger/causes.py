"""The call that an event follows from, as far as the outer call of its transaction shows it.

A transaction may reach the contract by way of another one: a multicall, a wallet, a bundler of
account abstraction, a relay. Or it calls one function of the contract, which pays an account whose
code calls another function. Its outer call then says nothing about who did what. So an outer call
counts only if it is to the contract itself, of a function that the event follows from, for the same
federation, and says what the event says.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256

from ledger import history as ev
from ledger.chain.calls import selector_of
from ledger.contracts import artifact
from ledger.headers import PolicyHeader, ResultHeader
from ledger.types import Address
from ledger.words import size_of

WORD = 32
SELECTOR = 4

CAUSES: Mapping[type[ev.Event], tuple[str, ...]] = {
    ev.FederationCreated: ("createFederation",),
    ev.ParticipantJoined: ("join",),
    ev.ParticipantLeft: ("leave",),
    ev.SignerRotated: ("rotateSigner",),
    ev.KeyRegistered: ("registerKey",),
    ev.DatasetCommitted: ("commitDataset",),
    ev.DatasetAmended: ("amendDataset",),
    ev.StakeWithdrawn: ("withdrawStake",),
    ev.BatchPosted: ("postBatch",),
    ev.UpdateCommitted: ("commitUpdate",),
    ev.SliceOpened: ("openSlice",),
    ev.ResultProposed: ("proposeResult",),
    ev.Voted: ("vote", "postVotes"),
    ev.ProofCommitted: ("commitProof", "recommitProof"),
    ev.DemandOpened: ("demand", "redemand"),
    ev.DemandAnswered: ("answer",),
    ev.ChallengeConceded: ("concede",),
    ev.ChallengeFailed: ("expireChallenge", "reclaimChallenge"),
    ev.ResultDisproved: ("openProof", "expireChallenge"),
    ev.FallenDisproved: ("openProof",),
    ev.PayoutClaimed: ("claim",),
    ev.Refunded: ("refund",),
    ev.FeesCollected: ("collectFees",),
    ev.Withdrawn: ("withdraw",),
    ev.UnavailableCharged: ("chargeUnavailable",),
    ev.BondReleased: ("releaseBond",),
    ev.ChallengeReclaimed: ("reclaimChallenge",),
    ev.Checkpoint: ("checkpoint",),
}
"""What every other event follows from may be any function of the contract."""


def cause(event: ev.Event, ledger: Address) -> str | None:
    """Name the function of the contract that an event's outer call shows; None if it shows none."""
    meta = event.meta
    name = _functions().get(meta.call[:SELECTOR]) if meta.to == ledger else None
    if name is None or name not in CAUSES.get(type(event), (name,)):
        return None
    if isinstance(event, ev.FederationCreated):
        said = sha256(meta.call[SELECTOR : SELECTOR + size_of(PolicyHeader)]).digest()
        fits = said == event.policy
    else:
        fits = _word(meta.call, 0) == event.federation
    if isinstance(event, ev.ResultProposed):
        start = SELECTOR + WORD
        said = sha256(meta.call[start : start + size_of(ResultHeader)]).digest()
        fits = fits and said == event.result
    if type(event) in CAUSES:
        fits = fits and all(_word(meta.call, at) == word for at, word in _shared(name, event))
    return name if fits else None


def _shared(name: str, event: ev.Event) -> Iterator[tuple[int, bytes]]:
    """Give the place and the value of each argument that has the name of one of the event's
    fields.
    """
    places = _places(name)
    for field, word in ev.words_of(event).items():
        if field in places:
            yield places[field], word


def _word(call: bytes, place: int) -> bytes:
    start = SELECTOR + WORD * place
    return call[start : start + WORD]


@cache
def _functions() -> Mapping[bytes, str]:
    """Name the functions that change something, by selector."""
    return {
        selector_of(str(entry["name"])): str(entry["name"])
        for entry in artifact("Federations").abi
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }


@cache
def _places(name: str) -> Mapping[str, int]:
    """Give the words of a call at which arguments of one word stand, by their names as fields.

    Arguments are read in place, not decoded: a decoder follows a stranger's offsets, and can be
    made to read the same bytes again and again.
    """
    entry = next(
        e for e in artifact("Federations").abi if e["type"] == "function" and e["name"] == name
    )
    places: dict[str, int] = {}
    for place, (field, single) in enumerate(_heads(entry["inputs"])):
        if single:
            places[field] = place
    return places


def _heads(inputs: object) -> Iterator[tuple[str, bool]]:
    """Yield the name of each word in a call's head, and whether the word is the argument itself."""
    assert isinstance(inputs, list)
    for item in inputs:
        kind = str(item["type"])
        if kind == "tuple":
            yield from _heads(item["components"])
        else:
            yield _snake(str(item["name"])), not kind.endswith("[]") and kind != "bytes"


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)
