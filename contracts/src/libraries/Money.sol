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
        if (!trySend(token, to, amount, gasleft())) refuse(token, to);
    }

    /// @notice Say that a payment could not be made.
    function refuse(address token, address to) internal pure {
        if (token == address(0)) revert IFederations.EtherRefused(to);
        revert SafeERC20.SafeERC20FailedOperation(token);
    }

    /// @notice Gas that one of several payments may use.
    function share(address token) internal pure returns (uint256) {
        return token == address(0) ? PAYEE_GAS : TOKEN_GAS;
    }

    /// @notice Pay if that can be done with so much gas. Of the answer it reads at most one word. @return done Whether it could.
    function trySend(address token, address to, uint256 amount, uint256 most) internal returns (bool done) {
        bytes4 selector = IERC20.transfer.selector;
        assembly ("memory-safe") {
            switch token
            case 0 { done := call(most, to, amount, 0, 0, 0, 0) }
            default {
                let free := mload(0x40)
                mstore(0x00, selector)
                mstore(0x04, to)
                mstore(0x24, amount)
                done := call(most, token, 0, 0x00, 0x44, 0x00, 0x20)
                // As in SafeERC20: a token says yes, or says nothing and exists.
                if iszero(and(gt(returndatasize(), 0x1f), eq(mload(0x00), 1))) {
                    done := and(done, and(iszero(returndatasize()), gt(extcodesize(token), 0)))
                }
                mstore(0x40, free)
            }
        }
    }

    function _balance(address token) private view returns (uint256) {
        return IERC20(token).balanceOf(address(this));
    }
}
