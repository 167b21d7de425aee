// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice CREATE2 for anybody, on chains that lack the well-known deterministic-deployment proxy: same call, same answer.
/// @dev Calldata: salt (32 bytes) ++ init code. Returns the 20 bytes of the new contract's address, and reverts if there is none.
contract Create2Deployer {
    fallback() external payable {
        assembly {
            let size := sub(calldatasize(), 0x20)
            calldatacopy(0, 0x20, size)
            let created := create2(callvalue(), 0, size, calldataload(0))
            if iszero(created) { revert(0, 0) }
            mstore(0, created)
            return(0x0c, 0x14)
        }
    }
}
