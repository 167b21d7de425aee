// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../Headers.sol";
import {Merkle} from "./Merkle.sol";
import {Reader} from "./Openings.sol";

/// @notice Opening headers of results.
library Headers {
    uint256 internal constant RESULT_SIZE = 576;

    /// @notice Bytes whose digest is not the one that names them.
    error NotThePreimage(bytes32 digest);

    /// @notice Take the header of this digest.
    function result(Reader memory reader, bytes32 digest) internal view returns (ResultHeader calldata header) {
        uint256 at = reader.take(RESULT_SIZE);
        if (Merkle.digest(at, RESULT_SIZE) != digest) revert NotThePreimage(digest);
        assembly ("memory-safe") {
            header := at
        }
    }

    /// @notice Take the header of the result that one builds on.
    function parent(Reader memory reader, ResultHeader calldata header) internal view returns (ResultHeader calldata) {
        return reader.result(header.common.parent);
    }

    using Headers for Reader;
}
