// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Asserts} from "./Asserts.sol";
import {Handler} from "./Handler.sol";

/// @notice What holds whatever anybody does. That every history replays, no round ends twice, no number of a round is used
/// again, and what the rules forbid reverts, is checked by the handler after each of its steps.
contract InvariantsTest is Asserts {
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    Handler private _handler;

    function setUp() external {
        _handler = new Handler();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(_handler);
    }

    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[28] memory selectors = [
            Handler.joinSomeone.selector,
            Handler.leaveSomeone.selector,
            Handler.rotateSomeone.selector,
            Handler.amendSomeones.selector,
            Handler.withdrawStakeOf.selector,
            Handler.commitSomeone.selector,
            Handler.postBatch.selector,
            Handler.proposeSomething.selector,
            Handler.voteSomeone.selector,
            // More often than the rest, so that runs get somewhere.
            Handler.playRound.selector,
            Handler.playRound.selector,
            Handler.playRound.selector,
            Handler.playRound.selector,
            Handler.playRound.selector,
            Handler.passTime.selector,
            Handler.advanceSomething.selector,
            Handler.closeSomething.selector,
            Handler.challengeSomething.selector,
            Handler.challengeSomething.selector,
            Handler.goOnWithSomething.selector,
            Handler.goOnWithSomething.selector,
            Handler.expireSomething.selector,
            Handler.releaseSomething.selector,
            Handler.chargeSomeone.selector,
            Handler.claimSomeones.selector,
            Handler.refundSomething.selector,
            Handler.collectSomeones.selector,
            Handler.withdrawSomeones.selector
        ];
        targets = new FuzzSelector[](1);
        targets[0].addr = address(_handler);
        targets[0].selectors = new bytes4[](selectors.length);
        for (uint256 i; i < selectors.length; ++i) {
            targets[0].selectors[i] = selectors[i];
        }
    }

    /// @dev One function for all: forge would walk the same steps again for each.
    function invariant_moneyAndLineage() external view {
        _balanceIsEverythingOwed();
        _handler.checkPools();
        _handler.checkLineages();
    }

    /// @notice No reachable state strands money: from wherever a run has come to, everybody gets everything out.
    function afterInvariant() external {
        _handler.drain();
        (uint256 inEther, uint256 inTokens) = _handler.balances();
        eq(inEther, 0, "stranded ether");
        eq(inTokens, 0, "stranded tokens");
    }

    /// @dev Balance = everything owed, to the wei: pools, stakes, bonds, challenges' bonds and credits.
    function _balanceIsEverythingOwed() private view {
        (uint256 inEther, uint256 inTokens) = _handler.balances();
        eq(inEther, _handler.owed(true), "ether");
        eq(inTokens, _handler.owed(false), "tokens");
    }
}
