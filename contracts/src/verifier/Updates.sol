// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader, UPDATE_TAG} from "../Headers.sol";
import {Entry} from "./Nodes.sol";
import {Periods} from "./Periods.sol";
import {Terms} from "./Types.sol";

/// @notice An update's header as whole words: what a digest names need not be canonical.
struct UpdateWords {
    bytes32 tag;
    uint256 chainId;
    uint256 ledger;
    bytes32 federation;
    uint256 round;
    bytes32 parent;
    uint256 participant;
    bytes32 base;
    bytes32 payloadRoot;
    uint256 dataset;
    bytes32 index;
    bytes32 training;
    bytes32 evaluation;
}

/// @notice Reading headers of updates.
library Updates {
    uint256 internal constant SIZE = 416;

    /// @notice The header whose bytes begin at an offset of the calldata.
    function at(uint256 offset) internal pure returns (UpdateWords calldata update) {
        assembly ("memory-safe") {
            update := offset
        }
    }

    /// @notice Whether bytes of the right length are the one encoding of an update's header.
    function isCanonical(UpdateWords calldata u) internal pure returns (bool) {
        return u.tag == UPDATE_TAG && u.ledger <= type(uint160).max
            && (u.round | u.participant | u.dataset) <= type(uint32).max;
    }

    /// @notice Whether an update names its slot's owner and the result's federation, round and parent, as far as these say;
    /// data set and base are the contract's to compare.
    function isOf(UpdateWords calldata u, Terms calldata t, ResultHeader calldata h, Entry calldata e)
        internal
        pure
        returns (bool)
    {
        return u.chainId == h.common.chainId && u.ledger == uint160(h.common.ledger)
            && u.federation == h.common.federation && u.round == h.common.round && u.parent == h.common.parent
            && u.participant == e.participant && (u.evaluation == 0 || t.evaluation == Periods.SHARDS);
    }
}
