"""Contracts on chains whose blocks hold less gas than a creation takes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import pytest

from ledger.chain.blocks import integer
from ledger.chain.client import Chain
from ledger.chain.errors import BlockTooSmall, ChainError, Reverted, RpcRefused
from ledger.chain.federations import deploy
from ledger.chain.types import Block
from ledger.contracts import DETERMINISTIC_DEPLOYER
from ledger.types import Address
from tests.accounts import new_account


@dataclass
class Small:
    """A chain on which no creation succeeds, since its blocks hold too little gas, or for another
    reason.
    """

    limit: int
    refusal: ChainError
    deployer: bool
    endpoint: str = "http://node.example"

    def call(self, to: Address | None, data: bytes) -> bytes:
        return b"\1".rjust(32, b"\0")

    def code(self, address: Address) -> bytes:
        return b"\1" if self.deployer and address == DETERMINISTIC_DEPLOYER else b""

    def newest(self) -> Block:
        return Block(1, bytes(32), bytes(32), 1, {"gasLimit": integer(self.limit)}, ())

    def send(self, *_: object) -> None:
        raise self.refusal


REFUSALS: list[Callable[[], ChainError]] = [
    lambda: Reverted(b"", "execution reverted"),
    lambda: RpcRefused("eth_estimateGas", -32000, "intrinsic gas too low"),
]


@pytest.mark.parametrize("refusal", REFUSALS)
@pytest.mark.parametrize(("limit", "deployer"), [(300_000, True), (50_000, False)])
def test_a_block_that_is_too_small_is_named(
    refusal: Callable[[], ChainError], limit: int, deployer: bool
) -> None:
    chain = Small(limit, refusal(), deployer)
    with pytest.raises(BlockTooSmall, match=f"at least [0-9]+ gas, and a block .* holds {limit}"):
        deploy(cast(Chain, chain), new_account())


def test_another_reason_stays_what_it_is() -> None:
    chain = Small(60_000_000, Reverted(b"", "execution reverted"), deployer=True)
    with pytest.raises(Reverted):
        deploy(cast(Chain, chain), new_account())
