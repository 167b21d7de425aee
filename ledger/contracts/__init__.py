"""The compiled contracts that the package ships, and where CREATE2 (EIP-1014) puts them.

An address derived from the shipped bytecode is how an audit knows that a contract is ours,
whatever a node says of it. The contract calls libraries of its own: theirs are derived in the same
way and stand in its code, so its address commits to theirs.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from ledger.errors import LedgerError
from ledger.types import ZERO_DIGEST, Address, Digest

# Deployed by a transaction without a known key: the same address on every chain that has it.
# Source: Arachnid, deterministic-deployment-proxy.
DETERMINISTIC_DEPLOYER = Address("0x4e59b44847b379578588920cA78FbF26c0B4956C")
ADDRESS_SIZE = 20
_PLACEHOLDER = re.compile(r"__\$[0-9a-f]{34}\$__")


class UnknownArtifact(LedgerError):
    """No contract of this name is shipped."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"no artifact of a contract named {name!r} is shipped with this package")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract: its interface, its creation code, and what they were made from.

    `links` says where the addresses of its libraries go; these bytes are zero in `bytecode`.
    """

    name: str
    abi: list[dict[str, Any]]
    bytecode: bytes
    links: dict[str, tuple[int, ...]]
    runtime_size: int
    compiler: str
    settings: dict[str, Any]
    sources: dict[str, str]

    def linked(self, addresses: Mapping[str, Address]) -> bytes:
        """Give the creation code with the addresses of its libraries in it."""
        code = bytearray(self.bytecode)
        for name, offsets in self.links.items():
            for at in offsets:
                code[at : at + ADDRESS_SIZE] = bytes.fromhex(addresses[name][2:])
        return bytes(code)


@dataclass(frozen=True, slots=True)
class Deployment:
    """What decides a contract's address: deployer, salt, and creation code; and the libraries that
    have to be there, in the order in which they build on each other.
    """

    deployer: Address
    salt: Digest
    init_code: bytes
    libraries: tuple["Deployment", ...] = ()

    @property
    def address(self) -> Address:
        """Return the address that CREATE2 gives this deployment."""
        return create2_address(self.deployer, self.salt, self.init_code)

    @property
    def call_data(self) -> bytes:
        """Return what the deployer wants to be called with: salt, then creation code."""
        return self.salt + self.init_code


@cache
def artifact(name: str) -> Artifact:
    """Load a shipped contract by its name, e.g. `Federations`."""
    file = resources.files("ledger.contracts") / "artifacts" / f"{name}.json"
    if not file.is_file():
        raise UnknownArtifact(name)
    loaded = json.loads(file.read_text(encoding="utf-8"))
    return Artifact(
        name=loaded["contract"],
        abi=loaded["abi"],
        bytecode=bytes.fromhex(_PLACEHOLDER.sub("00" * ADDRESS_SIZE, loaded["bytecode"][2:])),
        links={name: tuple(offsets) for name, offsets in loaded["links"].items()},
        runtime_size=len(loaded["runtime"]) // 2 - 1,
        compiler=loaded["compiler"],
        settings=loaded["settings"],
        sources=loaded["sources"],
    )


def create2_address(deployer: Address, salt: Digest, init_code: bytes) -> Address:
    """Return the address of a contract that `deployer` creates with CREATE2 (EIP-1014)."""
    preimage = b"\xff" + bytes.fromhex(deployer[2:]) + salt + keccak(init_code)
    return Address(to_checksum_address(keccak(preimage)[12:]))


def deployment(
    deployer: Address = DETERMINISTIC_DEPLOYER, salt: Digest = ZERO_DIGEST
) -> Deployment:
    """Return the deployment of the shipped `Federations`, whose constructor takes no arguments."""
    return _deployment("Federations", deployer, salt)


def _deployment(name: str, deployer: Address, salt: Digest) -> Deployment:
    code = artifact(name)
    direct = {library: _deployment(library, deployer, ZERO_DIGEST) for library in code.links}
    init_code = code.linked({library: plan.address for library, plan in direct.items()})
    below = [each for plan in direct.values() for each in (*plan.libraries, plan)]
    return Deployment(deployer, salt, init_code, tuple(dict.fromkeys(below)))
