// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {ResultHeader} from "../Headers.sol";
import {Demands} from "./Demands.sol";
import {Merkle} from "./Merkle.sol";
import {Entry, Nodes, Reason} from "./Nodes.sol";
import {Openings, Reader} from "./Openings.sol";
import {Ask, Case, Question} from "./Types.sol";

/// @notice Whose slot is whose: direct commits, signed leaves of the batch, and which of one participant's slots counts.
library SlotChecks {
    using Merkle for Reader;
    using Nodes for Reader;

    bytes32 private constant DOMAIN =
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");
    bytes32 private constant NAME = keccak256("FedNode Federations");
    bytes32 private constant VERSION = keccak256("1");
    bytes32 private constant COMMIT =
        keccak256("Commit(bytes32 federation,uint32 round,uint32 participant,bytes32 digest)");

    /// @notice Whether an entry names digest and owner of its slot; asks for the commit, or for the signer of the batch's leaf.
    function slot(Case calldata c, ResultHeader calldata h, Reader memory r, Question memory q)
        internal
        view
        returns (bool)
    {
        (uint256 place, Entry calldata e) = r.entry(c, h);
        if (place < c.batched) return _leaf(c, h, r, q, place, e);
        q.ask = Ask.Commit;
        q.holds = false;
        (q.participant, q.number, q.digest) = (uint32(e.participant), uint32(place - c.batched), e.digest);
        return false;
    }

    function _leaf(
        Case calldata c,
        ResultHeader calldata h,
        Reader memory r,
        Question memory q,
        uint256 place,
        Entry calldata e
    ) private view returns (bool) {
        if (Nodes.is_(e, Reason.Missing)) revert Nodes.OutOfPlace();
        uint256 at = r.take(Demands.BATCH_LEAF);
        r.open(Merkle.leaf(at, Demands.BATCH_LEAF), place, c.batched, c.batchRoot);
        uint256 participant = uint256(Openings.load(at));
        bytes32 digest = Openings.load(at + 32);
        bool unsigned = Nodes.is_(e, Reason.Unsigned);
        if (participant > type(uint32).max) return unsigned && e.participant == 0 && e.digest == 0;
        if (e.participant != participant || e.digest != digest) return false;
        address signer = participant < c.known ? _signer(h, participant, digest, at) : address(0);
        if (signer == address(0)) return unsigned;
        (q.ask, q.holds) = (Ask.Signer, unsigned);
        (q.participant, q.signer) = (uint32(participant), signer);
        return false;
    }

    /// @dev Who signed a leaf; zero where nobody can have.
    function _signer(ResultHeader calldata h, uint256 participant, bytes32 digest, uint256 at)
        private
        pure
        returns (address signer)
    {
        bytes32 domain = keccak256(abi.encode(DOMAIN, NAME, VERSION, h.common.chainId, h.common.ledger));
        bytes32 message = keccak256(abi.encode(COMMIT, h.common.federation, h.common.round, participant, digest));
        bytes32 hash = keccak256(abi.encodePacked(hex"1901", domain, message));
        (signer,,) = ECDSA.tryRecover(hash, Openings.load(at + 64), Openings.load(at + 96));
    }

    /// @notice Whether the slot that an entry names as the counting one of its owner is that.
    function superseded(Case calldata c, ResultHeader calldata h, Reader memory r) internal view returns (bool) {
        (uint256 place, Entry calldata e) = r.entry(c, h);
        if (!Nodes.is_(e, Reason.Superseded)) revert Nodes.OutOfPlace();
        uint256 by = e.position;
        if (by >= c.slots || by == place || by > place && by < c.batched) return false;
        (uint256 other, Entry calldata counting) = r.entry(c, h);
        if (other != by) revert Nodes.OutOfPlace();
        return counting.participant == e.participant && _stands(counting);
    }

    /// @notice Whether two slots are of different participants, or one of them does not stand for its own.
    function twice(Case calldata c, ResultHeader calldata h, Reader memory r) internal view returns (bool) {
        (uint256 place, Entry calldata e) = r.entry(c, h);
        (uint256 other, Entry calldata f) = r.entry(c, h);
        if (place == other) revert Nodes.OutOfPlace();
        return e.participant != f.participant || !_stands(e) || !_stands(f);
    }

    /// @dev Whether a slot is the one of its participant that is judged.
    function _stands(Entry calldata e) private pure returns (bool) {
        return !Nodes.is_(e, Reason.Superseded) && !Nodes.is_(e, Reason.Unsigned) && !Nodes.is_(e, Reason.Missing);
    }
}
