"""What follows from the values: scores and payouts."""

from ledger.headers import PolicyHeader, ResultHeader
from ledger.proofs.periods import end_before
from ledger.proofs.reading import Reader
from ledger.proofs.records import Ask, Case, Question
from ledger.proofs.valuing import signed

LIMIT = 1 << 223


def score(
    policy: PolicyHeader, case: Case, result: ResultHeader, reader: Reader
) -> Question | None:
    """Compare a score with the value and the scale that the proof says."""
    index = reader.number(4)
    (named, value, claimed), sums = reader.value(index, case.known, result)
    scale = reader.number(4)
    if sums.total != result.scores or named != index:
        return Question()
    a, b = policy.value_exponent, policy.scale_exponent
    expected = min(signed(value) ** a * scale**b, LIMIT) if signed(value) > 0 else 0
    if claimed == expected:
        return None
    return Question(Ask.SCALE, participant=index, number=scale)


def payout(
    policy: PolicyHeader, case: Case, result: ResultHeader, reader: Reader
) -> Question | None:
    """Compare a payout with what was paid before and the part of what the period releases."""
    index = reader.number(4)
    (named, amount), paid = reader.payout(index, case.known, result)
    value, scores = reader.value(index, case.known, result)
    before, base, question = _paid_before(policy, case, reader, index)
    if paid.total != result.payout_total or named != index or paid.total < base:
        return question
    expected = before
    if result.scores:
        if scores.total != result.scores:
            return question
        released = paid.total - base
        upper = released * (scores.before + value[2]) // result.scores
        expected += upper - released * scores.before // result.scores
    return None if expected == amount else question


def _paid_before(
    policy: PolicyHeader, case: Case, reader: Reader, index: int
) -> tuple[int, int, Question]:
    """Take what was paid to one and to all when the period before ended."""
    height = end_before(policy, case.height)
    if height == 0:
        return 0, 0, Question()
    digest = reader.digest()
    ended = reader.result(digest)
    known = reader.number(4)
    leaf = reader.payout(index, known, ended)[0] if index < known else [index, 0]
    question = Question(Ask.ANCESTOR, number=known, height=height, digest=digest)
    return leaf[1], ended.payout_total, question
