"""The small vocabulary shared by every part of the ledger: 32-byte digests, ids and amounts.

New types, so that a digest is never passed where a federation's id or an amount belongs.
"""

from typing import NewType

Digest = NewType("Digest", bytes)
FederationId = NewType("FederationId", bytes)
Address = NewType("Address", str)
Wei = NewType("Wei", int)
RoundIndex = NewType("RoundIndex", int)
ParticipantId = NewType("ParticipantId", int)

ZERO_DIGEST = Digest(bytes(32))
ZERO_ADDRESS = Address("0x" + "00" * 20)
