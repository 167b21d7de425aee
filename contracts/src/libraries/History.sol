// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice The history accumulator: one event more, and the hash that commits to all of them.
/// @dev Events are logged by hand, since a record is hashed and logged from the same memory.
library History {
    /// @notice Log an event and return the accumulator after it.
    /// @param h The accumulator before it.
    /// @param topic The event's selector.
    /// @param fields abi.encode of the event's data without its last word.
    function append(bytes32 h, bytes32 federation, bytes32 topic, bytes memory fields) internal returns (bytes32 next) {
        assembly ("memory-safe") {
            let length := mload(fields)
            let start := mload(0x40)
            mstore(start, h)
            mstore(add(start, 0x20), timestamp())
            mstore(add(start, 0x40), topic)
            let data := add(start, 0x60)
            mcopy(data, add(fields, 0x20), length)
            next := keccak256(start, add(length, 0x60))
            mstore(add(data, length), next)
            log2(data, add(length, 0x20), topic, federation)
        }
    }
}
