"""Commands on nodes that limit ranges, batches and requests, or answer with impossible numbers."""

from collections.abc import Iterator

import pytest

from tests.chaos.faulty_rpc import BATCH_LIMITS, RANGE_LIMITS, FaultyRpc, Refusal
from tests.fednode.cli.world import World, require_one_line


@pytest.fixture
def node(world: World) -> Iterator[FaultyRpc]:
    with FaultyRpc(world.anvil.url) as proxy:
        yield proxy


def timeless(record: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in record.items() if name != "time"}


@pytest.mark.parametrize("line", ["status", "audit"])
def test_a_limited_node_serves_every_command(world: World, node: FaultyRpc, line: str) -> None:
    """Logs come in parts, from the deployment on; batches shrink; a busy node is asked later."""
    whole = timeless(world.desk.ask(line))
    again = world.desk.ask("deploy --account @0.json")
    first = again["block"]
    assert again["ledger"] == world.desk.variables["FEDNODE_LEDGER"]
    node.span = (20, RANGE_LIMITS["Alchemy"])
    node.batch = (4, BATCH_LIMITS["geth"])
    busy = Refusal(-32005, "limit exceeded", status=429, headers={"Retry-After": "0"})
    node.refusals["eth_getLogs"].extend([busy] * 2)
    node.refusals["eth_chainId"].append(busy)
    assert timeless(world.desk.ask(line, FEDNODE_RPC=node.url)) == whole
    assert min(begin for begin, _ in node.spans) == first
    assert line == "status" or any(1 < size <= 4 for size in node.sizes)
    node.spans.clear()
    named = world.desk.ask(f"{line} --from-block {first}", FEDNODE_RPC=node.url)
    assert timeless(named) == whole
    assert node.spans[0][0] == first


def test_a_start_that_is_too_late_is_named(world: World) -> None:
    late = world.desk.run("status", FEDNODE_FROM_BLOCK="999")
    require_one_line(late, 1, "--from-block 999", "`fednode deploy` prints")


@pytest.mark.parametrize(
    ("method", "value"),
    [
        ("eth_chainId", hex(1 << 300)),
        ("eth_blockNumber", "0x-1"),
        ("eth_getTransactionCount", hex(1 << 64)),
        ("eth_getLogs", [{"address": "0x12"}]),
        ("eth_getBlockByNumber", {"number": hex(1 << 300), "transactions": []}),
        ("eth_call", "0x12zz"),
    ],
)
def test_an_impossible_answer_is_the_nodes_fault(
    world: World, node: FaultyRpc, method: str, value: object
) -> None:
    node.results[method] = value
    require_one_line(world.desk.run("status", FEDNODE_RPC=node.url), 1, "makes no sense")
