// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Sibling} from "../src/interfaces/IFederations.sol";

/// @notice Merkle-sum trees by their definition: slow, recursive, and written apart from the library that it tests.
library SumTree {
    function root(uint128[] memory amounts) internal pure returns (Sibling memory) {
        return _root(amounts, 0, amounts.length);
    }

    function proof(uint128[] memory amounts, uint256 index)
        internal
        pure
        returns (Sibling[] memory)
    {
        return _path(amounts, 0, amounts.length, index);
    }

    function leaf(uint256 index, uint256 amount) internal pure returns (bytes32) {
        return sha256(bytes.concat(hex"00", abi.encode(index, amount)));
    }

    function _root(uint128[] memory amounts, uint256 from, uint256 to) private pure returns (Sibling memory) {
        if (to - from == 1) return Sibling(leaf(from, amounts[from]), amounts[from]);
        uint256 middle = from + _split(to - from);
        Sibling memory l = _root(amounts, from, middle);
        Sibling memory r = _root(amounts, middle, to);
        return Sibling(sha256(bytes.concat(hex"01", abi.encode(l.hash, l.sum, r.hash, r.sum))), l.sum + r.sum);
    }

    function _path(uint128[] memory amounts, uint256 from, uint256 to, uint256 index)
        private
        pure
        returns (Sibling[] memory)
    {
        if (to - from == 1) return new Sibling[](0);
        uint256 middle = from + _split(to - from);
        bool onLeft = index < middle;
        Sibling[] memory below = onLeft ? _path(amounts, from, middle, index) : _path(amounts, middle, to, index);
        Sibling[] memory path = new Sibling[](below.length + 1);
        for (uint256 i; i < below.length; ++i) {
            path[i] = below[i];
        }
        path[below.length] = onLeft ? _root(amounts, middle, to) : _root(amounts, from, middle);
        return path;
    }

    /// @dev The largest power of two below `size`.
    function _split(uint256 size) private pure returns (uint256 k) {
        k = 1;
        while (k * 2 < size) k *= 2;
    }
}
