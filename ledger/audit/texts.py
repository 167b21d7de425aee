"""What the report explains to everybody: its words, and what no audit of this kind can tell."""

from typing import Final

from ledger.audit import quality
from ledger.audit.verdict import Verdict

_WORDS: Final = (
    (
        "Federation",
        "Institutions that train one model together. Each keeps its training rows and sends "
        "changes to the model.",
    ),
    ("Round", "One turn of training: everybody sends an update, and together they make a result."),
    (
        "Update",
        "What one participant's data would change in the model, as a long list of integers.",
    ),
    (
        "Model version",
        "The model after an accepted round. Version by version, each builds on the one before.",
    ),
    (
        "Chain",
        "A shared log kept by many computers. What was once written there can be neither changed "
        "nor taken out unnoticed.",
    ),
    (
        "Digest",
        "A fingerprint of data, 32 bytes long. Whoever changes one bit of the data gets another "
        "fingerprint.",
    ),
    (
        "Contribution",
        "What the model gained through a participant. Where the policy asks for the Shapley "
        "value: the average of what it adds, over every order in which the participants could "
        "have joined.",
    ),
    (
        "Accepted, settled, void",
        "A result is accepted by vote, and settled once the time for challenges has passed; only "
        "then can it be paid for. A round without a result is void: it changes nothing.",
    ),
    (
        "Trusted block",
        "The one entry of the chain that the audit takes for granted. Everything before it "
        "follows from its fingerprint.",
    ),
)

_LIMITS: Final = (
    "What happened after the trusted block.",
    "Whether the participants' data are genuine, lawful or of good quality. The audit sees what "
    "was made of them, not the data.",
    "Whether the model is fit for use with patients. A quality that is shown is no clinical "
    "evaluation.",
    "Whether an update that was called unavailable could really not be had at that time. That "
    "rests on the majority of the voting participants.",
    "Who stands behind an account, beyond the identity record that the account itself published.",
)


def glossary(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """Return the report's words; what quality means depends on the rows it is measured on."""
    place = next(k for k, (word, _) in enumerate(_WORDS) if word == "Contribution")
    return (*_WORDS[:place], ("Quality", quality.basis(verdict).meaning), *_WORDS[place:])


def limits(verdict: Verdict) -> tuple[str, ...]:
    """Return what the audit does not cover."""
    return (*_LIMITS, *quality.limits(verdict))
