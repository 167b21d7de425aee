// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @notice Signatures of accounts: by their key, else by their code (ERC-1271).
/// @dev The key comes first. An account that delegates to code (EIP-7702) keeps its key, and a signature by a key runs no code of a
/// stranger at the sender's expense.
library Signatures {
    /// @notice Gas that an account's code may use to check a signature. A P-256 key checked in Solidity needs about 350,000.
    uint256 internal constant WALLET_GAS = 500_000;

    /// @notice Whether an account has signed a digest.
    function isSignedBy(address account, bytes32 digest, bytes calldata signature) internal view returns (bool) {
        (address recovered, ECDSA.RecoverError fault,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (fault == ECDSA.RecoverError.NoError && recovered == account) return true;
        return account.code.length != 0 && _accepts(account, digest, signature);
    }

    /// @dev Reads one word of the answer, however long that is.
    function _accepts(address account, bytes32 digest, bytes calldata signature) private view returns (bool accepted) {
        bytes memory question = abi.encodeCall(IERC1271.isValidSignature, (digest, signature));
        bytes4 yes = IERC1271.isValidSignature.selector;
        assembly ("memory-safe") {
            let done := staticcall(WALLET_GAS, account, add(question, 0x20), mload(question), 0x00, 0x20)
            accepted := and(done, and(gt(returndatasize(), 0x1f), eq(mload(0x00), yes)))
        }
    }
}
