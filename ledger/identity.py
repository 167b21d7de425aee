"""Who an institution is: a record that its controller signs, and whose digest stands on the chain.

The signature (EIP-712) ties the name to the account, not to the world: whether the account belongs
to the institution is what the creator of a federation vouches for with an invitation.
"""

from dataclasses import dataclass

from eth_utils.address import is_checksum_address

from ledger import cbor
from ledger.artefacts import record
from ledger.chain.accounts import Account, recover_typed
from ledger.cid import CID, Codec
from ledger.errors import MalformedRecord
from ledger.stores import Artefact, ContentStore
from ledger.types import Address, Digest

MAX_NAME = 200
MAX_SIZE = 2048
"""Bytes of a record: a name of 200 characters, an address, a signature."""
SIGNATURE_SIZE = 65
KEYS = ("name", "controller", "signature")
_KIND = "identity record"


class ForgedIdentity(MalformedRecord):
    """An identity record whose signature is not its controller's."""

    def __init__(self, controller: Address) -> None:
        self.controller = controller
        super().__init__(_KIND, f"its signature is not that of {controller}")


@dataclass(frozen=True, slots=True)
class Identity:
    """An institution's name, signed by the account that controls its seat."""

    name: str
    controller: Address
    signature: bytes


def sign_identity(account: Account, name: str) -> Identity:
    """Sign an institution's name."""
    return Identity(name, account.address, account.sign_typed(_message(name, account.address)))


def identity_artefact(identity: Identity) -> Artefact:
    """Give the record as it lies in a store; its root's digest goes on the chain."""
    cid, data = record(
        {
            "name": identity.name,
            "controller": identity.controller,
            "signature": identity.signature,
        }
    )
    return Artefact((cid,), {cid: data})


def read_identity(store: ContentStore, digest: Digest) -> Identity:
    """Read an identity record and verify its signature."""
    data = store.get(CID(Codec.DAG_CBOR, digest))
    fields = cbor.decode_map(data, _KIND, KEYS, limit=MAX_SIZE)
    identity = Identity(
        name=cbor.field(fields, "name", str, kind=_KIND),
        controller=Address(cbor.field(fields, "controller", str, kind=_KIND)),
        signature=cbor.string(fields, "signature", SIGNATURE_SIZE, kind=_KIND),
    )
    if not 0 < len(identity.name) <= MAX_NAME:
        raise MalformedRecord(_KIND, f"a name of {len(identity.name)} characters")
    if not is_checksum_address(identity.controller):
        raise MalformedRecord(_KIND, "its controller is no address")
    verify_identity(identity)
    return identity


def verify_identity(identity: Identity) -> None:
    """Refuse a name that its controller has not signed."""
    signer = recover_typed(_message(identity.name, identity.controller), identity.signature)
    if signer != identity.controller:
        raise ForgedIdentity(identity.controller)


def _message(name: str, controller: Address) -> dict[str, object]:
    return {
        "domain": {"name": "FedNode identity", "version": "1"},
        "primaryType": "Identity",
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
            ],
            "Identity": [
                {"name": "name", "type": "string"},
                {"name": "controller", "type": "address"},
            ],
        },
        "message": {"name": name, "controller": controller},
    }
