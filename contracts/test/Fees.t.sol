// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {FederationView, IFederations, Phase, Status} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";
import {Vm} from "./Vm.sol";

/// @notice What proposers, voters and the relay earn, and what a rejection costs: every wei of it.
contract FeesTest is Base {
    function _round(bytes32 id, bool batched, uint256 voters) private returns (bytes32 result) {
        if (batched) batch(id, 1);
        commitAll(id);
        result = propose(id, header(id));
        for (uint256 i; i < voters; ++i) {
            vote(id, i, true);
        }
        if (ledger.resultOf(id, result).status == Status.Standing) miss(id);
    }

    function testFuzz_advance_creditsProposerAndRelay(bool batched) public {
        bytes32 id = started(costly(), 3);
        bytes32 result = _round(id, batched, 2);
        eq(fees(id, signer(0)), 0, "not before it settles");
        settleAll(id);
        status(id, result, Status.Settled, "settled");
        eq(fees(id, signer(0)), 0.03 ether, "proposer");
        eq(ethers(id, signer(0)), BOND, "bond");
        eq(fees(id, relay()), batched ? 0.007 ether : 0, "relay");
        eq(view_(id).fees, 0.03 ether + 0.002 ether + (batched ? 0.007 ether : 0), "all fees");
    }

    /// @dev For a vote, whichever way it went; once; to the payout address.
    function testFuzz_collectFees_perVote(uint256 choices) public {
        PolicyHeader memory p = costly();
        p.quorumBps = 10_000;
        bytes32 id = started(p, 5);
        commitAll(id);
        bytes32 result = propose(id, header(id));
        vote(id, 0, true);
        vote(id, 1, true);
        vote(id, 2, choices & 1 == 0);
        if (choices & 2 == 0) vote(id, 3, true);
        miss(id);
        _nothing(id, 0, result);
        uint256 ballots = ledger.resultOf(id, result).ballots;
        settleAll(id);
        for (uint256 i; i < 5; ++i) {
            if ((ballots >> i | ballots >> 128 + i) & 1 == 1) {
                collect(id, i, result);
                eq(fees(id, payout(i)), 0.001 ether, "fee");
            }
            _nothing(id, i, result);
        }
        eq(ledger.resultOf(id, result).ballots, 0, "all collected");
    }

    function _nothing(bytes32 id, uint256 i, bytes32 result) private {
        bytes32[] memory results = new bytes32[](2);
        (results[0], results[1]) = (result, result);
        refuses(abi.encodeWithSelector(IFederations.NothingToClaim.selector, i));
        ledger.collectFees(id, uint32(i), results);
    }

    /// @dev Of many results at once; what is repeated, unknown, or not settled counts nothing.
    function test_collectFees_ofManyResults() public {
        PolicyHeader memory p = costly();
        p.challengeWindow = 1_000;
        bytes32 id = started(p, 3);
        bytes32[] memory results = new bytes32[](5);
        results[0] = _round(id, false, 2);
        results[1] = _round(id, false, 2);
        results[2] = results[0];
        results[3] = keccak256("none");
        vm.warp(START + 1_000);
        ledger.advance(id);
        results[4] = _round(id, false, 2);
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        ledger.collectFees(id, 1, results);
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
        eq(fees(id, payout(1)), 0.002 ether, "two");
        pass(1_000);
        ledger.advance(id);
        ledger.collectFees(id, 1, results);
        eq(fees(id, payout(1)), 0.003 ether, "three");
        refuses(abi.encodeWithSelector(IFederations.UnknownParticipant.selector, 3));
        ledger.collectFees(id, 3, results);
    }

    function test_collectFees_RevertWhen_itJoinedLater() public {
        bytes32 id = started(costly(), 3);
        bytes32 result = _round(id, false, 2);
        join(id, 3);
        settleAll(id);
        _nothing(id, 3, result);
    }

    function test_collectFees_RevertWhen_thereIsNoFee() public {
        bytes32 id = started();
        bytes32 result = _round(id, false, 2);
        settleAll(id);
        _nothing(id, 0, result);
    }

    /// @dev Silence is no vote against: a result that falls for want of votes, or by a tie, costs its proposer nothing, and one that
    /// most of enough voters are against costs it the fee.
    function testFuzz_advance_silenceCostsNoFee(uint256 votes) public {
        PolicyHeader memory p = costly();
        p.quorumBps = 10_000;
        (p.maxParticipants, p.committeeSize) = (5, 5);
        bytes32 id = started(p, 5);
        commitAll(id);
        propose(id, header(id));
        uint256 votesFor;
        uint256 votesAgainst;
        for (uint256 i; i < 4; ++i) {
            uint256 what = votes >> 8 * i & 3;
            if (what < 2) continue;
            vote(id, i, what == 2);
            if (what == 2) ++votesFor;
            else ++votesAgainst;
        }
        miss(id);
        bool enough = votesFor + votesAgainst >= 3;
        bool accepted = enough && votesFor > votesAgainst;
        uint256 fee = enough && votesAgainst > votesFor ? p.rejectionFee : 0;
        eq(ethers(id, signer(0)), accepted ? 0 : BOND - fee, "credit");
        eq(BURNED.balance, fee, "burned");
    }

    /// @dev A proposer whose result is voted down pays a fixed fee, which is burned, and gets back the rest.
    function testFuzz_vote_rejectionCostsAFee(uint256 fee, uint256 bond) public {
        PolicyHeader memory p = policy();
        p.proposerBond = uint128(bound(bond, 0, 5 ether));
        p.rejectionFee = uint128(bound(fee, 0, p.proposerBond));
        bytes32 id = proposing(p);
        ResultHeader memory h = header(id);
        vm.deal(signer(0), p.proposerBond);
        vm.prank(signer(0));
        ledger.proposeResult{value: p.proposerBond}(id, h, INDEX, "");
        uint256 burned = BURNED.balance;
        voteAll(id, false);
        eq(ethers(id, signer(0)), p.proposerBond - p.rejectionFee, "credit");
        eq(BURNED.balance - burned, p.rejectionFee, "burned");
        eq(address(ledger).balance, p.pool + 3 * STAKE + p.proposerBond - p.rejectionFee, "balance");
    }

    /// @dev From creation to the last wei: pool = payouts + fees + refund, and ether in = ether out + burned.
    function testFuzz_everyWei(uint256 seed, int64 gain) public {
        PolicyHeader memory p = costly();
        p.rounds = 2;
        p.proposerFee = uint128(bound(seed, 0, 0.5 ether));
        p.attesterFee = uint128(bound(seed >> 64, 0, 0.1 ether));
        p.relayFee = uint128(bound(seed >> 128, 0, 0.5 ether));
        gain = int64(int256(bound(uint256(uint64(gain)), 0, 1_500)));
        bytes32 id = started(p, 3);
        if (seed >> 250 & 1 == 1) _wasted(id);
        bytes32 first = _round(id, seed >> 249 & 1 == 1, 2);
        commitAll(id);
        uint256 purse = p.pool - 2 * (uint256(p.proposerFee) + 16 * uint256(p.attesterFee) + p.relayFee);
        uint256 total = purse * uint64(gain) / 1_000;
        if (total > purse) total = purse;
        uint128[] memory amounts = amounts3(uint128(total / 3), uint128(total / 2), 0);
        amounts[2] = uint128(total) - amounts[0] - amounts[1];
        bytes32 last = fullRound(id, paying(id, gain, amounts));
        phase(id, Phase.Ended, "ended");
        settleAll(id);
        pass(p.unbondingWindow);
        _leaveWithAll(id, first, last, amounts);
        eq(address(ledger).balance, 0, "nothing is left");
        eq(BURNED.balance, seed >> 250 & 1 == 1 ? p.rejectionFee : 0, "burned");
    }

    /// @dev A round with a rejection, a missed turn, and no result.
    function _wasted(bytes32 id) private {
        commitAll(id);
        propose(id, header(id));
        voteAll(id, false);
        miss(id);
        miss(id);
    }

    function _leaveWithAll(bytes32 id, bytes32 first, bytes32 last, uint128[] memory amounts) private {
        FederationView memory v = view_(id);
        uint256 spent;
        for (uint256 i; i < 3; ++i) {
            if (amounts[i] != 0) claim(id, i, amounts);
            spent += amounts[i];
            bytes32[] memory results = new bytes32[](2);
            (results[0], results[1]) = (first, last);
            try ledger.collectFees(id, uint32(i), results) {} catch {}
            if (fees(id, payout(i)) != 0) withdraw(id, payout(i));
            ledger.withdrawStake(id, uint32(i));
            if (ethers(id, signer(i)) != 0) withdraw(id, signer(i));
        }
        if (fees(id, relay()) != 0) withdraw(id, relay());
        if (v.fees + spent < v.pool) ledger.refund(id);
        eq(creator.balance, 1e30 - v.fees - spent, "the creator's");
    }
}
