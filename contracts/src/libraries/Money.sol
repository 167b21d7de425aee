// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {IFederations} from "../interfaces/IFederations.sol";

/// @notice Transfers of ether, which is token zero, and of ERC-20 tokens.
library Money {
    using SafeERC20 for IERC20;

    /// @notice Gas that a payee may use where one transaction pays several, and that a token may.
    uint256 internal constant PAYEE_GAS = 100_000;
    uint256 internal constant TOKEN_GAS = 300_000;

    /// @notice Take tokens from the caller, and no fewer than that: a token that keeps some back is refused.
    function pull(address token, uint256 amount) internal {
        uint256 before = _balance(token);
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = _balance(token) - before;
        if (received != amount) revert IFederations.TransferIncomplete(amount, received);
    }

    /// @notice Pay, or revert.
    function send(address token, address to, uint256 amount) internal {
        if (!trySend(token, to, amount)) refuse(token, to);
    }

    /// @notice Say that a payment could not be made.
    function refuse(address token, address to) internal pure {
        if (token == address(0)) revert IFederations.EtherRefused(to);
        revert SafeERC20.SafeERC20FailedOperation(token);
    }

    /// @notice Pay if that can be done. @return Whether it could.
    function trySend(address token, address to, uint256 amount) internal returns (bool) {
        return _send(token, to, amount, type(uint256).max);
    }

    /// @notice Pay one of several, if it takes no more gas than any payee may. @return Whether it could be paid.
    function tryEach(address token, address to, uint256 amount) internal returns (bool done) {
        uint256 most = token == address(0) ? PAYEE_GAS : TOKEN_GAS;
        done = _send(token, to, amount, most);
        // A call gets at most 63/64 of what is left. A payee that failed because the sender was short of gas has not refused.
        if (!done && gasleft() <= most / 63) revert IFederations.GasTooLow();
    }

    /// @dev Reads at most one word of the answer, however long that is.
    function _send(address token, address to, uint256 amount, uint256 most) private returns (bool done) {
        if (token == address(0)) {
            assembly ("memory-safe") {
                done := call(most, to, amount, 0, 0, 0, 0)
            }
            return done;
        }
        bytes memory transfer = abi.encodeCall(IERC20.transfer, (to, amount));
        uint256 size;
        uint256 answer;
        assembly ("memory-safe") {
            done := call(most, token, 0, add(transfer, 0x20), mload(transfer), 0x00, 0x20)
            size := returndatasize()
            answer := mload(0x00)
        }
        // As in SafeERC20: a token says yes, or says nothing and exists.
        return done && (size == 0 ? token.code.length != 0 : size > 0x1f && answer == 1);
    }

    function _balance(address token) private view returns (uint256) {
        return IERC20(token).balanceOf(address(this));
    }
}
