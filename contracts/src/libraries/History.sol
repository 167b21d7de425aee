// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The history accumulator: one event more, and the hash that commits to all of them.
/// @dev Events are logged by hand, since a record is hashed and logged from the same memory.
library History {
    /// @notice Log a record and return the accumulator after it.
    /// @param h The accumulator before it.
    /// @param record abi.encode(0, 0, event selector, fields..., 0): the three zeros become h, the time and the new h.
    function append(bytes32 h, bytes32 federation, bytes memory record) internal returns (bytes32 next) {
        assembly ("memory-safe") {
            let length := mload(record)
            let start := add(record, 0x20)
            mstore(start, h)
            mstore(add(start, 0x20), timestamp())
            next := keccak256(start, sub(length, 0x20))
            mstore(add(record, length), next)
            log2(add(start, 0x60), sub(length, 0x60), mload(add(start, 0x40)), federation)
        }
    }
}
