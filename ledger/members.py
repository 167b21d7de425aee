"""Who takes part in a federation: the part of the fold that is about participants, their signers,
keys, data sets and stakes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from ledger import history as ev
from ledger.headers import PolicyHeader
from ledger.strict import after, require, require_equal
from ledger.types import ZERO_ADDRESS, Address, Digest, ParticipantId, RoundIndex

WEIGHT_LIMIT = 1 << 31
FIRST_ROUND = RoundIndex(0)


@dataclass(frozen=True, slots=True)
class Dataset:
    """A data-set commitment; it weighs from round `since` on. `erasure` names the record of what
    was destroyed, if there is one; rounds below `over` could not be disputed any more by then.
    """

    root: Digest
    rows: int
    since: RoundIndex
    erasure: Digest | None = None
    over: RoundIndex = FIRST_ROUND


@dataclass(slots=True)
class Participant:
    """A member of the federation, with a seat in rounds `since <= r < until` unless it was slashed.

    Signers and keys are lists of (first round, value): what is newer holds from the next round on.
    """

    index: ParticipantId
    controller: Address
    payout: Address
    identity: Digest
    since: RoundIndex
    stake: int
    signers: list[tuple[RoundIndex, Address]]
    keys: list[tuple[RoundIndex, bytes]]
    datasets: list[Dataset]
    until: RoundIndex | None = None
    left_at: int | None = None
    slashed: bool = False
    paid: int = 0
    fees: int = 0
    charged: set[RoundIndex] = field(default_factory=set)

    @property
    def signer(self) -> Address:
        """The newest account that signs for the participant."""
        return self.signers[-1][1]

    @property
    def key(self) -> bytes:
        """The newest key that sealed artefacts are encrypted to."""
        return self.keys[-1][1]

    def key_in(self, round_index: int) -> bytes:
        """Give the key that a round's artefacts are sealed for."""
        return [key for since, key in self.keys if since <= max(round_index, self.since)][-1]

    def keys_from(self, round_index: int) -> tuple[bytes, ...]:
        """Give the key of a round, and those that were registered since it was opened."""
        since = [key for first, key in self.keys if first > max(round_index, self.since)]
        return (self.key_in(round_index), *since)

    def signer_in(self, round_index: int) -> Address:
        """Give the account that signs for the participant in a round."""
        return [a for since, a in self.signers if since <= max(round_index, self.since)][-1]

    def seated(self, round_index: int) -> bool:
        """Whether the participant had a seat in a round when that was opened: what it signed as a
        commit binds it, whatever became of it later.
        """
        return self.since <= round_index and (self.until is None or round_index < self.until)

    def active(self, round_index: int) -> bool:
        """Whether the participant may propose and vote in a round."""
        return not self.slashed and self.seated(round_index)

    def dataset(self, round_index: int) -> tuple[int, Dataset]:
        """Give the newest commitment made before a round was opened, with its place in the list."""
        place = max(i for i, d in enumerate(self.datasets) if i == 0 or d.since <= round_index)
        return place, self.datasets[place]


@dataclass(slots=True)
class Members:
    """All participants, in the order in which they joined. What they change holds from the next
    round on.
    """

    _policy: PolicyHeader
    all: list[Participant] = field(default_factory=list)

    @property
    def staying(self) -> list[Participant]:
        """Those who have neither left nor been slashed."""
        return [p for p in self.all if p.left_at is None]

    def known(self, event: ev.Event, index: int) -> Participant:
        """Give a participant that an event names."""
        require(event, index < len(self.all), "a known participant", str(index))
        return self.all[index]

    def join(self, event: ev.ParticipantJoined, since: RoundIndex) -> None:
        """Take in a new participant."""
        known = len(self.all)
        require_equal(event, "participant", known, event.participant)
        require(event, known < self._policy.max_participants, "room for one more", "none left")
        self._fresh_signer(event, event.signer)
        require(event, event.payout != ZERO_ADDRESS, "a payout address", event.payout)
        used = {p.controller for p in self.all}
        require(event, event.controller not in used, "a controller of its own", event.controller)
        self._check_weights(event, event.rows, self.staying)
        self.all.append(
            Participant(
                index=event.participant,
                controller=event.controller,
                payout=event.payout,
                identity=event.identity,
                since=since,
                stake=self._policy.stake,
                signers=[(since, event.signer)],
                keys=[(since, event.key)],
                datasets=[Dataset(event.dataset_root, event.rows, since)],
            )
        )

    def leave(self, event: ev.ParticipantLeft, until: RoundIndex) -> None:
        """Take in that a participant gives up its seat."""
        self._leave(self._staying(event, event.participant), until, event.meta.timestamp)

    def rotate(self, event: ev.SignerRotated, since: RoundIndex) -> None:
        """Take in a participant's new signer."""
        participant = self._staying(event, event.participant)
        self._fresh_signer(event, event.signer)
        participant.signers.append((since, event.signer))

    def register_key(self, event: ev.KeyRegistered, since: RoundIndex) -> None:
        """Take in a participant's new key."""
        self._staying(event, event.participant).keys.append((since, event.key))

    def commit_dataset(self, event: ev.DatasetCommitted, since: RoundIndex) -> None:
        """Take in another data-set commitment, as the creator attests it."""
        participant = self._staying(event, event.participant)
        self._append(event, participant, Dataset(event.root, event.rows, since))

    def amend_dataset(
        self, event: ev.DatasetAmended, since: RoundIndex, *, over: RoundIndex
    ) -> None:
        """Take in a data-set commitment of fewer rows; who has left still may erase."""
        participant = self.known(event, event.participant)
        attested = participant.datasets[-1].rows
        require(event, event.rows <= attested, f"at most {attested} rows", str(event.rows))
        dataset = Dataset(event.root, event.rows, since, event.erasure, over)
        self._append(event, participant, dataset)

    def withdraw_stake(self, event: ev.StakeWithdrawn, *, since: int) -> None:
        """Take in that a stake was paid back; its unbonding counts from `since`."""
        participant = self.known(event, event.participant)
        require(event, participant.stake > 0, "a stake not yet returned", "none")
        require_equal(event, "a stake of", participant.stake, event.amount)
        after(event, since + self._policy.unbonding_window)
        participant.stake = 0

    def charge(self, event: ev.UnavailableCharged, until: RoundIndex) -> None:
        """Take in what a participant pays for an update that could not be had; whose stake would
        not cover another fee loses its seat.
        """
        participant = self.known(event, event.participant)
        require(event, event.round not in participant.charged, "one charge a round", "another")
        fee = min(self._policy.unavailable_fee, participant.stake)
        require(event, event.amount == fee > 0, f"a fee of {fee} wei", str(event.amount))
        participant.charged.add(event.round)
        participant.stake -= fee
        if participant.stake < self._policy.unavailable_fee and participant.left_at is None:
            self._leave(participant, until, event.meta.timestamp)

    def slash(self, voters: Iterable[ParticipantId], until: RoundIndex, at: int) -> int:
        """Take seats and stakes from who voted for a result that was proved wrong; give the
        challenger's half.
        """
        reward = 0
        for participant in (self.all[index] for index in voters):
            if participant.slashed:
                continue
            participant.slashed = True
            reward += participant.stake // 2
            participant.stake = 0
            if participant.left_at is None:
                self._leave(participant, until, at)
        return reward

    def _append(
        self,
        event: ev.DatasetCommitted | ev.DatasetAmended,
        participant: Participant,
        dataset: Dataset,
    ) -> None:
        require_equal(event, "data set", len(participant.datasets), event.dataset)
        if participant.left_at is None:
            others = [p for p in self.staying if p is not participant]
            self._check_weights(event, dataset.rows, others)
        participant.datasets.append(dataset)

    def _leave(self, participant: Participant, until: RoundIndex, at: int) -> None:
        participant.until = until
        participant.left_at = at

    def _staying(self, event: ev.Event, index: int) -> Participant:
        participant = self.known(event, index)
        here = participant.left_at is None
        require(event, here, "a participant that has not left", "it has")
        return participant

    def _fresh_signer(self, event: ev.Event, signer: Address) -> None:
        used = {s for p in self.all for _, s in p.signers}
        fresh = signer not in used and signer != ZERO_ADDRESS
        require(event, fresh, "a signer of its own", signer)

    def _check_weights(self, event: ev.Event, rows: int, others: list[Participant]) -> None:
        """Require that the weights of all who have not left stay below 2^31."""
        all_rows = [rows, *(p.datasets[-1].rows for p in others)]
        cap = self._policy.weight_cap
        total = sum(1 if self._policy.open else min(r, cap) for r in all_rows)
        require(event, total < WEIGHT_LIMIT, f"weights below {WEIGHT_LIMIT}", str(total))
