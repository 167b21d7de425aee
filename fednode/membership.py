"""Joining a federation: the request a site makes, and the invitation its creator answers with.

Both are small JSON files that people send each other; nothing in them is secret.
"""

import secrets
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from fednode.data.commitment import DatasetCommitment
from fednode.data.salted import SaltedRows
from fednode.errors import FedNodeError
from fednode.files import private_folder, read_private, write_new
from fednode.kept_rows import read_kept
from fednode.site import Site
from ledger.chain.accounts import Account
from ledger.chain.federations import Membership
from ledger.errors import MalformedRecord
from ledger.identity import (
    MAX_NAME,
    ForgedIdentity,
    Identity,
    identity_artefact,
    read_identity,
    sign_identity,
)
from ledger.names import composed, name_fault
from ledger.signatures import Domain, Invitation
from ledger.stores import Artefact
from ledger.stores.read_back import read_back
from ledger.types import Address, Digest, FederationId
from ledger.utf8 import NotUtf8, decode

SECRET = "secret"
NO_KEY = bytes(32)
T = TypeVar("T", bound=BaseModel)
MOST_BYTES = 1 << 16
"""Of a request or an invitation, which come from strangers."""


def _is_name(name: str) -> str:
    fault = name_fault(name, most=MAX_NAME)
    if fault is not None:
        raise ValueError(f"a name {fault}")
    return name


Name = Annotated[str, AfterValidator(_is_name)]
Hex32 = Field(pattern=r"^[0-9a-f]{64}$")
Hex20 = Field(pattern=r"^0x[0-9a-fA-F]{40}$")


class JoinRequest(BaseModel):
    """What a site asks its federation's creator to attest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    federation: str = Hex32
    name: Name
    controller: str = Hex20
    signature: str = Field(pattern=r"^[0-9a-f]{130}$")
    dataset_root: str = Hex32
    rows: int = Field(ge=1, lt=1 << 32)

    @property
    def identity(self) -> Digest:
        """Digest of the identity record that the request was made with."""
        own = Identity(self.name, Address(self.controller), bytes.fromhex(self.signature))
        return identity_artefact(own).roots[0].digest

    def invitation(self, expires: int) -> Invitation:
        """Give the message that the creator signs."""
        return Invitation(
            FederationId(bytes.fromhex(self.federation)),
            Address(self.controller),
            self.identity,
            Digest(bytes.fromhex(self.dataset_root)),
            self.rows,
            expires,
        )


class SignedInvitation(BaseModel):
    """A request with its creator's signature."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    request: JoinRequest
    expires: int = Field(ge=0, lt=1 << 64)
    signature: str = Field(pattern=r"^[0-9a-f]{2,2048}$")


def make_request(
    federation: FederationId, account: Account, *, name: str, site: Site, secret: bytes
) -> tuple[JoinRequest, Artefact]:
    """Ask to join with a site's rows; gives the identity record to publish, too."""
    name = composed(name)
    fault = name_fault(name, most=MAX_NAME)
    if fault is not None:
        raise FedNodeError(f"--name {fault}")
    identity = sign_identity(account, name)
    commitment = site.commitment(secret)
    request = JoinRequest(
        federation=federation.hex(),
        name=name,
        controller=account.address,
        signature=identity.signature.hex(),
        dataset_root=commitment.root.hex(),
        rows=commitment.rows,
    )
    _require_same(request)
    return request, _readable(identity)


def _readable(identity: Identity) -> Artefact:
    """Give an identity record that every reader takes."""
    artefact = identity_artefact(identity)
    digest = artefact.roots[0].digest
    return read_back(artefact, lambda s: read_identity(s, digest), identity, kind="identity record")


def _require_same(message: JoinRequest | SignedInvitation) -> None:
    """Refuse a message that does not come back from its own file."""
    if type(message).model_validate_json(message.model_dump_json()) != message:
        raise FedNodeError("a message of these fields cannot be read back: change --name")


def invite(
    request: JoinRequest, creator: Account, *, expires: int, chain_id: int, ledger: Address
) -> SignedInvitation:
    """Attest a request as the federation's creator, if its name is signed by who asks."""
    own = Identity(request.name, Address(request.controller), bytes.fromhex(request.signature))
    try:
        _readable(own)
    except ForgedIdentity:
        raise
    except MalformedRecord as error:
        raise FedNodeError(f"the request's identity record is refused by all: {error}") from None
    signature = Domain(chain_id, ledger).sign(creator, request.invitation(expires))
    invitation = SignedInvitation(request=request, expires=expires, signature=signature.full.hex())
    _require_same(invitation)
    return invitation


def membership(
    request: JoinRequest,
    invitation: SignedInvitation | None,
    *,
    signer: Address,
    payout: Address,
    key: bytes = NO_KEY,
) -> Membership:
    """Give what the contract is told; `key` is what artefacts are sealed for."""
    if invitation is not None and invitation.request != request:
        raise FedNodeError(
            "the invitation is for another request (account, name, journal or rows differ): "
            "ask the creator for one that answers the newest request"
        )
    return Membership(
        signer=signer,
        payout=payout,
        identity=request.identity,
        key=key,
        dataset_root=Digest(bytes.fromhex(request.dataset_root)),
        rows=request.rows,
        expires=invitation.expires if invitation else 0,
        invitation=bytes.fromhex(invitation.signature) if invitation else b"",
    )


def read_request(path: Path) -> JoinRequest:
    """Read a request's file."""
    return _read(path, JoinRequest, "request to join")


def read_invitation(path: Path) -> SignedInvitation:
    """Read an invitation's file."""
    return _read(path, SignedInvitation, "invitation")


def require_committed(site: Site, journal: Path, root: Digest) -> None:
    """Refuse rows that are not those which a participant committed to on the chain."""
    if committed(site, journal).root != root:
        raise FedNodeError(
            f"the rows of site {site.name!r} are not those that this account joined with: "
            "give the --site, --data and --journal that you joined with"
        )


def committed(site: Site, journal: Path) -> DatasetCommitment:
    """Commit to a site's rows again, with the salts of its journal."""
    kept = read_kept(journal)
    return site.commitment(_joined_with(journal)) if kept is None else kept.commitment(site)


def shown_shard(site: Site, journal: Path) -> SaltedRows:
    """Give a site's shard with the salts of its journal, as an auditor has to be shown it."""
    kept = read_kept(journal)
    return site.salted_shard(site_secret(journal)) if kept is None else kept.salted_shard(site)


def _joined_with(journal: Path) -> bytes:
    path = journal / SECRET
    if not path.exists():
        raise FedNodeError(f"{path} is not there: give the --journal that you joined with")
    return _read_secret(path)


def site_secret(journal: Path) -> bytes:
    """Give the secret from which a site's salts follow; made once, kept in its journal."""
    path = journal / SECRET
    try:
        private_folder(journal, whole=False)
        if not path.exists():
            write_new(path, secrets.token_bytes(32), private=True)
    except OSError as error:
        raise FedNodeError(f"the journal's secret {path}: {error.strerror}") from None
    return _read_secret(path)


def _read_secret(path: Path) -> bytes:
    try:
        secret = read_private(path)
    except OSError as error:
        raise FedNodeError(f"the journal's secret {path}: {error.strerror}") from None
    if len(secret) != 32:
        raise FedNodeError(f"the journal's secret {path} is damaged: restore it from a copy")
    return secret


def _read(path: Path, kind: type[T], what: str) -> T:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise FedNodeError(f"{path} is no {what}: it has more than {MOST_BYTES:,} bytes")
        return kind.model_validate_json(decode(data))
    except NotUtf8 as error:
        raise FedNodeError(f"{path} is no {what}: it {error}") from None
    except OSError as error:
        raise FedNodeError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        raise FedNodeError(f"{path} is no {what}: {key}: {first['msg']}; get it again") from None
