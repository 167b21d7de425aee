"""What withheld blocks may cost whoever asks for them: one budget, whatever their number."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler

import pytest

from ledger import payload
from ledger.cid import CID, Codec
from ledger.payload import Payload
from ledger.stores import (
    Artefact,
    BlockCorrupt,
    BlockNotFound,
    BlockUnavailable,
    Budget,
    BudgetedStore,
    CountingStore,
    MemoryStore,
    RecordingStore,
    StoreUnreachable,
)
from ledger.stores.base import ahead
from ledger.stores.budget import GRACE, current, in_turns, patience, spending, spending_part
from ledger.stores.kubo import KuboStore
from tests.ledger.stores.test_kubo_store import server

SECONDS = 1.0


class Hanging(MemoryStore):
    """A store that gives no answer for what it does not have, until the test is over."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[CID] = []
        self.patience: list[float] = []
        self.over = threading.Event()

    def get(self, cid: CID) -> bytes:
        self.asked.append(cid)
        self.patience.append(patience(999))
        if not self.has(cid):
            self.over.wait()
        return super().get(cid)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    store = Hanging()
    yield store
    store.over.set()


def cids(count: int) -> list[CID]:
    return [CID.of(Codec.RAW, b"withheld %d" % number) for number in range(count)]


def here(store: MemoryStore, data: bytes = b"here") -> CID:
    artefact = Artefact.of(Codec.RAW, data)
    store.put(artefact)
    return artefact.roots[0]


def took(work: Callable[[], object]) -> float:
    start = time.monotonic()
    with pytest.raises(BlockUnavailable):
        work()
    return time.monotonic() - start


def test_without_a_budget_the_store_is_asked_as_it_is() -> None:
    store = MemoryStore()
    assert BudgetedStore(store).get(here(store)) == b"here"
    with pytest.raises(BlockNotFound, match="memory"):
        BudgetedStore(store).get(cids(1)[0])


def test_all_that_hangs_costs_one_budget_together(hanging: Hanging) -> None:
    store = BudgetedStore(hanging)
    start = time.monotonic()
    with spending(Budget(SECONDS)) as budget:
        for cid in cids(3):
            with pytest.raises(BlockNotFound, match="did not come within"):
                store.get(cid)
        assert time.monotonic() - start < 3 * SECONDS
        assert budget.left == 0
    assert SECONDS / 2 < hanging.patience[0] <= SECONDS
    assert hanging.patience[1:] == [GRACE] * 2


def test_a_block_that_was_missed_is_not_asked_for_again(hanging: Hanging) -> None:
    store, (cid,) = BudgetedStore(hanging), cids(1)
    with spending(Budget(SECONDS)) as budget:
        took(lambda: store.get(cid))
        assert took(lambda: store.get(cid)) < GRACE / 2
        budget.renew(GRACE)
        assert took(lambda: store.get(cid)) > GRACE / 2
    # While the first read hangs there is no second one of the same block.
    assert hanging.asked == [cid]


def test_what_the_store_has_is_read_on_a_spent_budget(hanging: Hanging) -> None:
    store, cid = BudgetedStore(hanging), here(hanging)
    with spending(Budget(0)):
        assert [store.get(cid) for _ in range(20)] == [b"here"] * 20


def test_a_block_that_comes_late_comes(hanging: Hanging) -> None:
    store, artefact = BudgetedStore(hanging), Artefact.of(Codec.RAW, b"late")

    def come() -> None:
        hanging.put(artefact)
        hanging.over.set()

    threading.Timer(0.2, come).start()
    with spending(Budget(5)) as budget:
        assert store.get(artefact.roots[0]) == b"late"
        assert 0 < budget.left < 5


def test_who_waits_longer_asks_again_where_another_gave_up() -> None:
    class Brief(MemoryStore):
        def get(self, cid: CID) -> bytes:
            time.sleep(min(0.3, patience(0.3)))
            return super().get(cid)

    inner = Brief()
    store, artefact = BudgetedStore(inner), Artefact.of(Codec.RAW, b"late")

    def hasty() -> None:
        with spending(Budget(0.05)), pytest.raises(BlockNotFound):
            store.get(artefact.roots[0])

    thread = threading.Thread(target=hasty)
    thread.start()
    threading.Timer(0.4, lambda: inner.put(artefact)).start()
    with spending(Budget(5)):
        time.sleep(0.1)
        thread.join()
        time.sleep(0.2)
        inner.put(artefact)
        assert store.get(artefact.roots[0]) == b"late"


def test_waiting_at_the_same_time_counts_once(hanging: Hanging) -> None:
    store, whole = BudgetedStore(hanging), Budget(8 * SECONDS)

    def missed(cid: CID) -> None:
        with spending(whole.part(SECONDS)), pytest.raises(BlockNotFound):
            store.get(cid)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(missed, cids(8)))
    assert 4 * SECONDS < whole.left < 7.1 * SECONDS


def test_a_part_ends_earlier_and_is_charged_to_the_whole(hanging: Hanging) -> None:
    store, (one, other) = BudgetedStore(hanging), cids(2)
    with spending(Budget(4 * SECONDS)) as budget:
        with spending_part(1 / 4):
            assert took(lambda: store.get(one)) < 3 * SECONDS
        assert SECONDS < budget.left < 3.1 * SECONDS
        assert current() is budget
        budget.renew(0)
        with spending_part(1):
            assert took(lambda: store.get(other)) < SECONDS


@pytest.mark.parametrize("withheld", [4, 200])
def test_what_hangs_keeps_nothing_else_from_coming(hanging: Hanging, withheld: int) -> None:
    """However many are asked for first, and hang, what is there comes before the budget ends."""
    store = BudgetedStore(hanging)
    wanted = [*cids(withheld), *(here(hanging, b"%d" % number) for number in range(50))]

    def read(cid: CID) -> bytes | None:
        try:
            return store.get(cid)
        except BlockNotFound:
            return None

    tasks = {cid: (lambda cid=cid: read(cid)) for cid in wanted}
    start = time.monotonic()
    with ThreadPoolExecutor(8) as pool, spending(Budget(2 * SECONDS)) as budget:
        found = dict(in_turns(pool, tasks, at_once=8, done=lambda data: data is not None))
        assert budget.left > 0
    assert time.monotonic() - start < 2 * SECONDS
    assert set(found) == set(wanted)
    assert sum(data is not None for data in found.values()) == 50


def test_blocks_of_a_tree_are_fetched_at_the_same_time() -> None:
    """Over a link on which each block takes a while; what is here already is not read twice."""

    class Far(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self.near: set[CID] = set()
            self.fetched = 0

        def has(self, cid: CID) -> bool:
            return cid in self.near

        def get(self, cid: CID) -> bytes:
            if cid not in self.near:
                self.fetched += 1
                time.sleep(0.2)
                self.near.add(cid)
            return super().get(cid)

    far, data = Far(), Payload(bytes(range(256)) * (4 * 16 * 1024))
    artefact = data.artefact()
    pieces = [CID.of(Codec.RAW, b"piece %d" % number) for number in range(16)]
    far.put(artefact)
    for number in range(16):
        far.put(Artefact.of(Codec.RAW, b"piece %d" % number))
    store = CountingStore(BudgetedStore(far))
    start = time.monotonic()
    with spending(Budget(10)):
        ahead(RecordingStore(store), pieces)
        assert [store.get(cid) for cid in pieces] == [b"piece %d" % n for n in range(16)]
        assert time.monotonic() - start < 16 * 0.2
        before = far.fetched
        ahead(store, pieces)
        time.sleep(0.1)
        assert far.fetched == before == 16
        index = artefact.roots[0].digest
        assert payload.fetch(store, index, len(data.data)) == data.data


def test_a_kubo_that_sends_a_byte_at_a_time_costs_the_budget() -> None:
    over, asked = threading.Event(), []

    def drip(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.path)
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        while not over.wait(0.05):
            request.wfile.write(b"x")

    with server(drip) as url:
        store = BudgetedStore(KuboStore(url))
        with spending(Budget(SECONDS)) as budget:
            start = time.monotonic()
            for cid in cids(2):
                with pytest.raises(BlockNotFound, match="did not come within"):
                    store.get(cid)
            assert time.monotonic() - start < 2 * SECONDS
            assert budget.left == 0
        over.set()
    # Kubo is told how long it may look for the block.
    assert "timeout=9" in asked[0] or "timeout=1000ms" in asked[0]


def test_an_unreachable_store_is_an_outage_at_once() -> None:
    class Down(MemoryStore):
        def get(self, cid: CID) -> bytes:
            raise StoreUnreachable("down", "refused")

    with spending(Budget(60)), pytest.raises(StoreUnreachable, match="refused"):
        BudgetedStore(Down()).get(cids(1)[0])


def test_without_a_thread_the_store_cannot_be_asked_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The block is asked for again once there is one."""
    store = MemoryStore()
    cid = here(store)
    budgeted = BudgetedStore(store)

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with spending(Budget(0.2)):
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            ahead(budgeted, [cid, cid])
            with pytest.raises(StoreUnreachable, match="new thread"):
                budgeted.get(cid)
        assert budgeted.get(cid) == b"here"


class Altered(MemoryStore):
    """A store with a damaged block."""

    def get(self, cid: CID) -> bytes:
        raise BlockCorrupt(cid, "altered", "the bytes have another digest")


def test_wrong_bytes_count_as_none_under_a_budget() -> None:
    store = Altered()
    cid = here(store)
    budgeted = BudgetedStore(store)
    with pytest.raises(BlockCorrupt):
        budgeted.get(cid)
    with spending(Budget(1.0)):
        for _ in range(2):
            with pytest.raises(BlockNotFound, match="another digest"):
                budgeted.get(cid)
