"""A node behind web3's provider interface: `Web3(NodeProvider(wire))` has our bounds, too.

This is the one module that imports web3, which costs seconds: it is loaded when a node is connected
to.

Source: https://web3py.readthedocs.io/en/stable/providers.html
"""

import itertools
import threading
from collections.abc import Mapping, Sequence
from typing import Any, cast

from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from ledger.bounded_json import read_json
from ledger.chain.answers import Json
from ledger.chain.questions import TransportFailure
from ledger.chain.statuses import Wire, answer_of

__all__ = ["NodeProvider", "RPCEndpoint"]


class NodeProvider(JSONBaseProvider):
    """Sends what web3 encodes over a wire, and reads what comes back within bounds."""

    def __init__(self, wire: Wire) -> None:
        super().__init__()
        self._wire = wire
        self._encoding = threading.Lock()

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:  # noqa: ANN401
        """Ask one question. Raise TransportFailure."""
        with self._encoding:
            message = self.encode_rpc_request(method, params)
        return cast("RPCResponse", _object(answer_of(self._wire(message))))

    def make_batch_request(
        self, requests: Sequence[tuple[RPCEndpoint, Any]]
    ) -> list[RPCResponse] | RPCResponse:
        """Ask questions together: the answers in their order, or the one answer of a node that
        refuses them all. Raise TransportFailure.
        """
        with self._encoding:
            self.request_counter = itertools.count()
            message = self.encode_batch_rpc_request(list(requests))
        found = answer_of(self._wire(message))
        answers = _in_order(found) if isinstance(found, list) else _object(found)
        return cast("list[RPCResponse] | RPCResponse", answers)

    @staticmethod
    def decode_rpc_response(raw_response: bytes) -> RPCResponse:
        """Read an answer within the bounds of size and depth. Raise MalformedRecord."""
        return cast("RPCResponse", read_json(raw_response))


def _in_order(answers: list[object]) -> list[Json]:
    """Sort a batch's answers by what they answer: a node may give them in any order."""
    found = {answer.get("id"): answer for answer in map(_object, answers) if _numbered(answer)}
    if set(found) != set(range(len(answers))):
        raise _no_rpc()
    return [found[number] for number in range(len(answers))]


def _numbered(answer: Json) -> bool:
    return type(answer.get("id")) is int


def _object(answer: object) -> Json:
    if not isinstance(answer, Mapping):
        raise _no_rpc()
    return cast("Json", answer)


def _no_rpc() -> TransportFailure:
    return TransportFailure("the answer is not JSON-RPC", sent=True)
