"""What can go wrong on the chain, as a tree of exceptions that carry fields as well as text."""

from collections.abc import Mapping

from ledger.errors import LedgerError
from ledger.plain import ether
from ledger.plain import moment as utc
from ledger.types import Address

DAY = 86_400
"""Seconds."""


class ChainError(LedgerError):
    """Base of every error of the chain layer."""


class ChainUnreachable(ChainError):
    """Nothing answers at the endpoint, after all retries."""

    def __init__(self, endpoint: str, reason: str) -> None:
        self.endpoint = endpoint
        self.reason = reason
        super().__init__(
            f"the chain at {endpoint} does not answer ({reason}); check the address and that the "
            "node is running"
        )


class BadEndpoint(ChainUnreachable):
    """An address at which there can be no node."""

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(endpoint, reason)
        self.args = (f"{endpoint} is no address of a chain's node: {reason}",)


class ChainTooOld(ChainError):
    """A chain that lacks an instruction which the contracts are compiled to."""

    def __init__(self, endpoint: str, instruction: str, upgrade: str) -> None:
        self.endpoint = endpoint
        self.instruction = instruction
        self.upgrade = upgrade
        super().__init__(
            f"the chain at {endpoint} does not know the instruction {instruction}, which came with "
            f"the upgrade {upgrade}: the contract needs a chain with Cancun"
        )


class WrongChain(ChainError):
    """The endpoint serves another chain than the one that was asked for."""

    def __init__(self, endpoint: str, expected: int, found: int) -> None:
        self.endpoint = endpoint
        self.expected = expected
        self.found = found
        super().__init__(
            f"{endpoint} is chain {found}, expected chain {expected}; give the right RPC address"
        )


class RpcRefused(ChainError):
    """The node answered a request with an error that has no name of its own here."""

    def __init__(self, method: str, code: int, reason: str) -> None:
        self.method = method
        self.code = code
        self.reason = reason
        super().__init__(f"the node refused {method}: {reason} (code {code})")


class ChainBusy(RpcRefused):
    """The node takes no more requests for longer than the caller can wait."""

    def __init__(self, endpoint: str, method: str, reason: str, seconds: float | None) -> None:
        super().__init__(method, 0, reason)
        self.endpoint = endpoint
        self.seconds = seconds
        when = (
            "" if seconds is None else f"{seconds:.0f} s" if seconds <= DAY else "more than a day"
        )
        wish = f", and wants to be asked again in {when}" if when else ""
        self.args = (
            f"the chain's node at {endpoint} limits requests: {reason}{wish}; try later, or give "
            "another --rpc",
        )


class MalformedAnswer(ChainError):
    """The node answered with something that is not what the method returns."""

    def __init__(self, method: str, reason: str) -> None:
        self.method = method
        self.reason = reason
        super().__init__(f"the node's answer to {method} makes no sense: {reason}")


class Unfunded(ChainError):
    """The account cannot pay for the transaction."""

    def __init__(self, address: Address, balance: int, needed: int) -> None:
        self.address = address
        self.balance = balance
        self.needed = needed
        super().__init__(
            f"account {address} has {balance} wei, needs {needed} wei; send it "
            f"{ether(needed - balance)} or more and try again"
        )


class TransactionTooLarge(ChainError):
    """A transaction that no node would take: too many bytes or too much gas."""

    def __init__(self, what: str, amount: int, limit: int) -> None:
        self.what = what
        self.amount = amount
        self.limit = limit
        super().__init__(f"the transaction needs at least {amount} {what}, the limit is {limit}")


class BlockTooSmall(TransactionTooLarge):
    """A contract whose creation takes more gas than a block of the chain holds."""

    def __init__(self, endpoint: str, amount: int, limit: int) -> None:
        super().__init__("gas", amount, limit)
        self.endpoint = endpoint
        self.args = (
            f"the contract cannot be created: that takes at least {amount} gas, and a block of the "
            f"chain at {endpoint} holds {limit}; raise the gas limit of its blocks",
        )


class Reverted(ChainError):
    """A call that the contract reverts, with the bytes that it returned; nothing was sent."""

    def __init__(self, data: bytes, reason: str) -> None:
        self.data = data
        self.reason = reason
        super().__init__(f"the contract reverts: {reason}")


class ContractRejected(ChainError):
    """The contract refused, with one of its own errors; nothing was sent."""

    def __init__(self, name: str, fields: Mapping[str, object], advice: str = "") -> None:
        self.name = name
        self.fields = dict(fields)
        self.advice = advice
        reason = f": {advice} ({name})" if advice else f" ({name})"
        super().__init__(f"the contract refuses this{reason}")


class UnknownContract(ChainError):
    """There is no contract of ours at the address."""

    def __init__(self, address: Address, reason: str) -> None:
        self.address = address
        self.reason = reason
        super().__init__(f"no FedNode contract at {address}: {reason}")


class TokenUnusable(ChainError):
    """An ERC-20 token that a pool cannot be funded with."""

    def __init__(self, token: Address, reason: str) -> None:
        self.token = token
        self.reason = reason
        super().__init__(f"token {token}: {reason}")


class TransactionFailed(ChainError):
    """A transaction that was mined and did nothing, because the state changed under it."""

    def __init__(self, transaction: bytes, gas_used: int, reason: str, data: bytes = b"") -> None:
        self.transaction = transaction
        self.gas_used = gas_used
        self.reason = reason
        self.data = data
        super().__init__(f"transaction 0x{transaction.hex()} was mined but failed: {reason}")


class TransactionPending(ChainError):
    """A transaction that was sent and is not mined yet; it may still be, so none replaces it."""

    def __init__(self, transaction: bytes, nonce: int, seconds: float) -> None:
        self.transaction = transaction
        self.nonce = nonce
        self.seconds = seconds
        super().__init__(
            f"transaction 0x{transaction.hex()} (nonce {nonce}) is not mined after "
            f"{seconds:.0f} s; it may still be: look it up before sending anything again"
        )


class ReceiptMissing(ChainError):
    """A mined transaction whose receipt a node does not have (any more)."""

    def __init__(self, endpoint: str, transaction: bytes, block: int) -> None:
        self.endpoint = endpoint
        self.transaction = transaction
        self.block = block
        super().__init__(
            f"transaction 0x{transaction.hex()} was mined in block {block}, and the chain's node "
            f"at {endpoint} has no receipt of it: its receipts or its index of transactions are "
            "pruned or lost; give another --rpc"
        )


class ChainTimeout(ChainError):
    """Chain time did not reach a moment in the time that the caller allowed."""

    def __init__(self, moment: int, now: int) -> None:
        self.moment = moment
        self.now = now
        super().__init__(
            f"chain time is {utc(now)} and has not come to {utc(moment)}; does the chain go on?"
        )


class AccountError(ChainError):
    """A keystore file or key that cannot be used."""

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self.reason = reason
        super().__init__(f"{source}: {reason}")


def shown(value: object) -> str:
    """Return a field of an error as text."""
    return f"0x{value.hex()}" if isinstance(value, bytes) else str(value)
