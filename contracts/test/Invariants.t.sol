// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Asserts} from "./Asserts.sol";
import {Handler} from "./Handler.sol";

/// @notice What holds whatever anybody does. That every history replays, no round ends twice, and what the rules forbid
/// reverts, is checked by the handler after each of its steps.
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
        targets = new FuzzSelector[](1);
        targets[0].addr = address(_handler);
        targets[0].selectors = new bytes4[](14);
        bytes4[14] memory selectors = [
            Handler.joinSomeone.selector,
            Handler.leaveSomeone.selector,
            Handler.rotateSomeone.selector,
            Handler.withdrawStakeOf.selector,
            Handler.commitSomeone.selector,
            Handler.proposeSomething.selector,
            Handler.voteSomeone.selector,
            Handler.playRound.selector,
            Handler.passTime.selector,
            Handler.advanceSomething.selector,
            Handler.closeSomething.selector,
            Handler.claimSomeones.selector,
            Handler.refundSomething.selector,
            Handler.withdrawBonds.selector
        ];
        for (uint256 i; i < selectors.length; ++i) {
            targets[0].selectors[i] = selectors[i];
        }
    }

    /// @notice Balance = everything owed, to the wei.
    function invariant_balanceCoversEverythingOwed() external view {
        (uint256 inEther, uint256 inTokens) = _handler.balances();
        eq(inEther, _handler.owed(true), "ether");
        eq(inTokens, _handler.owed(false), "tokens");
    }

    function invariant_payoutsOfAPeriodWithinItsPool() external view {
        holds(_handler.withinPools(), "pool");
    }

    /// @dev `ends` is asserted to stay at one by the handler; this reads it for the rounds that there can be.
    function invariant_noRoundEndsTwice() external view {
        for (uint256 i; i < 3; ++i) {
            for (uint32 round; round < 8; ++round) {
                holds(_handler.ends(_handler.ids(i), round) <= 1, "a round ended twice");
            }
        }
    }

    function invariant_noReachableStateStrandsMoney() external view {}

    /// @dev From wherever a run has come to.
    function afterInvariant() external {
        _handler.drain();
        (uint256 inEther, uint256 inTokens) = _handler.balances();
        eq(inEther, 0, "stranded ether");
        eq(inTokens, 0, "stranded tokens");
    }
}
