"""Names of institutions: any script's words, one form of each, and nothing that cannot be seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from fednode.data.commitment import DatasetCommitment
from fednode.errors import FedNodeError
from fednode.membership import JoinRequest, make_request, read_request
from fednode.site import Site
from ledger.chain.accounts import from_key
from ledger.types import Digest, FederationId
from tests.ledger.test_lines import BENGALI, HINDI, PERSIAN, SINHALA, TYPED

ACCOUNT = from_key(b"\1" * 32)
FEDERATION = FederationId(bytes(32))


@dataclass(frozen=True, slots=True)
class Rows:
    """A site of a known commitment."""

    def commitment(self, secret: bytes) -> DatasetCommitment:
        return DatasetCommitment(root=Digest(secret), rows=7, salts=())


def asked(name: str) -> JoinRequest:
    site = cast(Site, Rows())
    return make_request(FEDERATION, ACCOUNT, name=name, site=site, secret=bytes(32))[0]


@pytest.mark.parametrize(
    "name", [PERSIAN, TYPED, SINHALA, HINDI, BENGALI, "Hôpital Ste-Anne", "東京大学", "𠮷" * 200]
)
def test_names_of_any_script_join(name: str, tmp_path: Path) -> None:
    request = asked(name)
    assert request.name == name
    path = tmp_path / "request.json"
    path.write_text(request.model_dump_json(), encoding="utf-8-sig")
    assert read_request(path) == request


def test_equal_names_are_equal_bytes() -> None:
    assert asked("Cafe\u0301") == asked("Caf\u00e9")


@pytest.mark.parametrize("name", ["", " \t", "\u00a0", "\u2800", "\u3164", "\u00ad", "a\u202eb"])
def test_a_name_that_shows_nothing_or_turns_around_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(FedNodeError, match="--name must"):
        asked(name)
    path = tmp_path / "request.json"
    request = asked("name").model_copy(update={"name": name})
    path.write_text(request.model_dump_json(), encoding="utf-8")
    with pytest.raises(FedNodeError, match="is no request to join: name: Value error, a name must"):
        read_request(path)


def test_a_request_without_end_is_not_read() -> None:
    with pytest.raises(FedNodeError, match="is no request to join: it has more than 65,536 bytes"):
        read_request(Path("/dev/zero"))
