// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {PolicyHeader} from "../src/Headers.sol";
import {Claim, IFederations} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";
import {FeeToken, MoodyToken, TestToken} from "./Tokens.sol";

/// @notice Pools in tokens, good and bad. Stakes and bonds stay ether, and nothing but the pool can suffer.
contract TokensTest is Base {
    MoodyToken private _token;

    function setUp() public override {
        super.setUp();
        _token = new MoodyToken();
        _fund(_token);
    }

    function _fund(TestToken token) private {
        token.mint(creator, 10 ether);
        vm.prank(creator);
        token.approve(address(ledger), type(uint256).max);
    }

    function _policy(TestToken token) private view returns (PolicyHeader memory p) {
        p = costly();
        (p.token, p.rounds) = (address(token), 1);
    }

    /// @dev One round that pays 2 and 3 and is over.
    function _over(TestToken token) private returns (bytes32 id, uint128[] memory amounts, bytes32 result) {
        PolicyHeader memory p = _policy(token);
        p.target = 9_947; // milliether of the purse: 10 ether less the fees of one round
        id = started(p, 3);
        amounts = amounts3(2 ether, 3 ether, 0);
        batch(id, 1);
        result = payingRound(id, 5_000, amounts);
        settleAll(id);
    }

    function test_everything_inToken() public {
        (bytes32 id, uint128[] memory amounts, bytes32 result) = _over(_token);
        claim(id, 0, amounts);
        claim(id, 1, amounts);
        eq(_token.balanceOf(payout(1)), 3 ether, "payout");
        eq(payout(1).balance, 0, "no ether");
        collect(id, 0, result);
        collect(id, 1, result);
        withdraw(id, payout(0));
        withdraw(id, payout(1));
        eq(_token.balanceOf(payout(0)), 2 ether + 0.001 ether, "attester");
        withdraw(id, relay());
        eq(_token.balanceOf(relay()), 0.007 ether, "relay");
        withdraw(id, signer(0));
        eq(_token.balanceOf(signer(0)), 0.03 ether, "proposer");
        eq(signer(0).balance, BOND, "the bond is ether");
        ledger.refund(id);
        eq(_token.balanceOf(creator), 10 ether - 5 ether - 0.039 ether, "refund");
        eq(_token.balanceOf(address(ledger)), 0, "all of it");
        eq(address(ledger).balance, 3 * STAKE, "stakes");
    }

    function testFuzz_createFederation_RevertWhen_theTokenTakesFees(uint256 bps) public {
        FeeToken token = new FeeToken(bound(bps, 1, 10_000));
        _fund(token);
        PolicyHeader memory p = _policy(token);
        uint256 received = 10 ether - 10 ether * bound(bps, 1, 10_000) / 10_000;
        vm.prank(creator);
        refuses(abi.encodeWithSelector(IFederations.TransferIncomplete.selector, 10 ether, received));
        ledger.createFederation(p, 0, "");
    }

    function testFuzz_createFederation_RevertWhen_theTokenFails(uint8 mood) public {
        _token.feel(MoodyToken.Mood(bound(mood, 1, 3)));
        PolicyHeader memory p = _policy(_token);
        vm.prank(creator);
        vm.expectRevert();
        ledger.createFederation(p, 0, "");
    }

    /// @dev A token that fails holds up what is paid in it, as long as it fails, and pays it after that.
    function testFuzz_claim_RevertWhen_theTokenFails(uint8 mood) public {
        (bytes32 id, uint128[] memory amounts,) = _over(_token);
        _token.feel(MoodyToken.Mood(bound(mood, 1, 2)));
        Claim[] memory claims = one(claimOf(amounts, 0));
        bytes memory failed = abi.encodeWithSelector(SafeERC20.SafeERC20FailedOperation.selector, address(_token));
        refuses(failed);
        ledger.claim(id, 3, claims);
        refuses(failed);
        ledger.refund(id);
        _token.feel(MoodyToken.Mood.Good);
        claim(id, 0, amounts);
        ledger.refund(id);
    }

    /// @dev It holds up nothing else: neither stakes nor bonds.
    function testFuzz_withdraw_paysEtherWhenTheTokenFails(uint8 mood) public {
        (bytes32 id,,) = _over(_token);
        _token.feel(MoodyToken.Mood(bound(mood, 1, 2)));
        withdraw(id, signer(0));
        eq(signer(0).balance, BOND, "bond");
        eq(ethers(id, signer(0)), 0, "paid once");
        eq(fees(id, signer(0)), 0.03 ether, "the fee waits");
        vm.expectRevert();
        ledger.withdraw(id, signer(0));
        pass(60);
        ledger.withdrawStake(id, 0);
        eq(controller(0).balance, STAKE, "stake");
        _token.feel(MoodyToken.Mood.Good);
        withdraw(id, signer(0));
        eq(_token.balanceOf(signer(0)), 0.03 ether, "fee");
        eq(signer(0).balance, BOND, "no bond again");
    }
}
