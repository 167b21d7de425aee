"""Contracts that call the ledger for others, as multicalls, wallets and bundlers do.

They are a few bytes of EVM code each, so that no compiler is needed. A `forwarder` calls the
account that its input names with the rest of the input: the inner call stands in the outer one. A
`messenger` holds its call in its own code: the outer call is empty.
"""

from eth_utils.address import to_canonical_address

from ledger.chain.accounts import Account
from ledger.chain.client import Chain
from ledger.chain.federations import Federations
from ledger.chain.types import Receipt
from ledger.types import Address

_ANSWER = "3d600060003e60{end:02x}573d6000fd5b3d6000f3"
_FORWARD = "6020360380602060003760006000826000346000355af1" + _ANSWER.format(end=0x24)


def forwarder(on: Chain, by: Account) -> Address:
    """Deploy a contract that calls whom its input names first with the rest of its input."""
    return _deploy(on, by, bytes.fromhex(_FORWARD))


def messenger(on: Chain, by: Account, to: Address, data: bytes) -> Address:
    """Deploy a contract that makes one call, whatever it is called with, and hands on the ether."""
    size, target = len(data).to_bytes(3, "big"), to_canonical_address(to)
    head = b"\x62" + size + b"\x62\0\0\0\x60\0\x39"  # codecopy(0, start, size)
    head += b"\x60\0\x60\0\x62" + size + b"\x60\0\x34\x73" + target + b"\x5a\xf1"
    end = len(head) + len(bytes.fromhex(_ANSWER.format(end=0))) - 5
    code = head + bytes.fromhex(_ANSWER.format(end=end))
    start = len(code).to_bytes(3, "big")
    code = code[:5] + start + code[8:]
    return _deploy(on, by, code + data)


def _deploy(on: Chain, by: Account, code: bytes) -> Address:
    size = len(code).to_bytes(3, "big")
    init = b"\x62" + size + b"\x60\x10\x60\0\x39\x62" + size + b"\x60\0\xf3"
    found = on.send(by, None, init + code).contract
    assert found is not None
    assert on.code(found) == code
    return found


class Wrapped(Federations):
    """The contract as it is reached through others: `through` names the forwarder of an account.

    If it is `opaque`, every account uses a messenger, which shows nothing of what it calls.
    """

    def __init__(self, inner: Federations, *, opaque: bool = False) -> None:
        super().__init__(inner.chain, inner.address)
        self.through: dict[Address, Address] = {}
        self._opaque = opaque

    def _send(self, account: Account, data: bytes, *, value: int = 0) -> Receipt:
        if self._opaque:
            target = messenger(self.chain, account, self.address, data)
            return self.chain.send(account, target, b"\1\2\3\4", value=value)
        if account.address not in self.through:
            return super()._send(account, data, value=value)
        outer = bytes(12) + to_canonical_address(self.address) + data
        return self.chain.send(account, self.through[account.address], outer, value=value)
