"""A node behind JSON-RPC: Ethereum, a consortium chain at zero gas price, or a local anvil or geth.

It speaks in plain requests and checks every answer's form itself, so that proof-of-authority
headers and the habits of one library or node make no difference.
"""

import time
from collections.abc import Callable

from ledger.chain.accounts import Account
from ledger.chain.questions import Batch, Transport
from ledger.chain.reading import Reader
from ledger.chain.sending import CLEAR_AFTER, Sender
from ledger.chain.types import Call, Receipt


class RpcEngine(Reader):
    """One node. Requests are retried with growing pauses; safe for several threads."""

    def __init__(
        self,
        transport: Transport,
        endpoint: str,
        *,
        batch: Batch | None = None,
        expected_chain_id: int | None = None,
        pause: Callable[[float], None] = time.sleep,
        look_after: float = 2.0,
        clear_after: float = CLEAR_AFTER,
    ) -> None:
        super().__init__(
            transport, endpoint, batch=batch, expected_chain_id=expected_chain_id, pause=pause
        )
        self._sender = Sender(self, look_after=look_after, clear_after=clear_after)

    def send(self, account: Account, call: Call, *, gas: int | None, timeout: float) -> Receipt:
        """Simulate, sign, send and wait for a transaction."""
        return self._sender.send(account, call, gas=gas, timeout=timeout)
