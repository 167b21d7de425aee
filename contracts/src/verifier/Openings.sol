// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice Reads a proof from front to back; both ends are offsets in the calldata.
struct Reader {
    uint256 at;
    uint256 end;
}

using Openings for Reader global;

/// @notice A cursor over the bytes of a proof. A proof has no lengths and no padding: what comes next follows from what was
/// read, and nothing may be left.
library Openings {
    /// @notice The proof ends before what it must hold.
    error Truncated();
    /// @notice The proof goes on behind what it must hold.
    error Overlong(uint256 bytes_);

    function over(bytes calldata data) internal pure returns (Reader memory reader) {
        uint256 at;
        assembly ("memory-safe") {
            at := data.offset
        }
        return Reader(at, at + data.length);
    }

    /// @notice Take the next bytes; gives their offset in the calldata.
    function take(Reader memory reader, uint256 size) internal pure returns (uint256 at) {
        at = reader.at;
        if (reader.end - at < size) revert Truncated();
        unchecked {
            reader.at = at + size;
        }
    }

    function left(Reader memory reader) internal pure returns (uint256) {
        return reader.end - reader.at;
    }

    function uint8_(Reader memory reader) internal pure returns (uint8) {
        return uint8(uint256(load(reader.take(1)) >> 248));
    }

    function uint32_(Reader memory reader) internal pure returns (uint32) {
        return uint32(uint256(load(reader.take(4)) >> 224));
    }

    function word(Reader memory reader) internal pure returns (bytes32) {
        return load(reader.take(32));
    }

    /// @notice Refuse bytes that nothing asked for.
    function close(Reader memory reader) internal pure {
        if (reader.at != reader.end) revert Overlong(reader.left());
    }

    /// @notice The word of the calldata at an offset.
    function load(uint256 at) internal pure returns (bytes32 value) {
        assembly ("memory-safe") {
            value := calldataload(at)
        }
    }
}
