// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {LowLevelCall} from "@openzeppelin/contracts/utils/LowLevelCall.sol";

import {IFederations} from "../interfaces/IFederations.sol";

/// @notice Transfers of ether, which is token zero, and of ERC-20 tokens.
library Money {
    using SafeERC20 for IERC20;

    /// @notice Take tokens from the caller, and no fewer than that: a token that keeps some back is refused.
    function pull(address token, uint256 amount) internal {
        uint256 before = _balance(token);
        IERC20(token).safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = _balance(token) - before;
        if (received != amount) revert IFederations.TransferIncomplete(amount, received);
    }

    /// @notice Pay, or revert.
    function send(address token, address to, uint256 amount) internal {
        if (trySend(token, to, amount)) return;
        if (token == address(0)) revert IFederations.EtherRefused(to);
        revert SafeERC20.SafeERC20FailedOperation(token);
    }

    /// @notice Pay if that can be done. @return Whether it could.
    function trySend(address token, address to, uint256 amount) internal returns (bool) {
        if (token != address(0)) return IERC20(token).trySafeTransfer(to, amount);
        return LowLevelCall.callNoReturn(to, amount, "");
    }

    function _balance(address token) private view returns (uint256) {
        return IERC20(token).balanceOf(address(this));
    }
}
