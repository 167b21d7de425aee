"""What the contract itself knows, as the history tells it: the twin of `libraries/Facts.sol`.

A challenger asks it before it pays for a proof whose verdict depends on the contract's records.
"""

from dataclasses import dataclass

from ledger.proceedings import Proposal, Round
from ledger.proofs.records import Ask, Case, Question
from ledger.state import FederationState
from ledger.types import ZERO_DIGEST, Digest


@dataclass(frozen=True)
class Facts:
    """The records that bear on one proposed result."""

    state: FederationState
    proposal: Proposal

    @property
    def round(self) -> Round:
        """The result's round."""
        return self.state.rounds[self.proposal.round]

    @property
    def height(self) -> int:
        """The result's height on the lineage; the first one's is 1."""
        return self._lineage.index(self.round.parent) + 1

    def case(self) -> Case:
        """Give what the contract hands to a verifier."""
        round_ = self.round
        return Case(
            federation=self.state.federation,
            result=self.proposal.result,
            round=round_.index,
            height=self.height,
            slots=round_.slots,
            batched=round_.batched,
            batch_root=round_.batch_root,
            known=round_.known,
        )

    def holds(self, question: Question) -> bool:
        """Whether what a proof asks for is so."""
        match question.ask:
            case Ask.NOTHING:
                return True
            case Ask.ANCESTOR:
                return self._is_ancestor(question)
            case Ask.SIGNER:
                return self._signs(question)
            case Ask.COMMIT:
                commits = self.round.commits
                named = (question.number, question.participant, question.digest)
                return any((c.order, c.participant, c.digest) == named for c in commits)
        participant = self.state.participants[question.participant]
        match question.ask:
            case Ask.WEIGHT:
                return self.state.weight(question.participant, self.round) == question.number
            case Ask.SCALE:
                return self.state.scale(question.participant, self.round) == question.number
        newest = participant.dataset(self.round.index)[0]
        return newest == question.number and question.digest in self._bases

    @property
    def _lineage(self) -> list[Digest]:
        """The results by height, and zero under the first; those above the disputed one, too."""
        return [ZERO_DIGEST, *(accepted.result for accepted in self.state.lineage)]

    @property
    def _bases(self) -> list[Digest]:
        """What an update of the round may have been trained from."""
        oldest = max(self.height - 1 - self.state.policy.staleness, 0)
        return self._lineage[oldest : self.height]

    def _is_ancestor(self, question: Question) -> bool:
        if not 0 < question.height < self.height:
            return False
        ancestor = self.state.lineage[question.height - 1]
        round_ = self.state.rounds[ancestor.round]
        same = (ancestor.result, round_.known) == (question.digest, question.number)
        return same and question.slots in (0, round_.slots)

    def _signs(self, question: Question) -> bool:
        if question.participant >= len(self.state.participants):
            return False
        participant = self.state.participants[question.participant]
        index = self.round.index
        return participant.seated(index) and participant.signer_in(index) == question.signer
