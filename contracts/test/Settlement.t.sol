// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {FederationView, IFederations, Phase, Status} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";
import {SumTree} from "./SumTree.sol";
import {TestToken} from "./TestToken.sol";
import {Vm} from "./Vm.sol";

/// @notice A payout address that refuses ether, or claims again when it is paid.
contract Payee {
    IFederations private immutable _ledger;
    bytes private _call;
    bool public refusing;
    bool public reentered;

    constructor(IFederations ledger) {
        _ledger = ledger;
    }

    function prepare(bytes calldata call_) external {
        _call = call_;
    }

    function refuse(bool yes) external {
        refusing = yes;
    }

    receive() external payable {
        require(!refusing);
        if (_call.length != 0) (reentered,) = address(_ledger).call(_call);
    }
}

contract SettlementTest is Base {
    function _paid(uint256 i) private view returns (uint256) {
        return payout(i).balance;
    }

    function _ended(uint128[] memory amounts, int64 gain) private returns (bytes32 id) {
        PolicyHeader memory p = policy();
        p.rounds = 1;
        id = started(p, 3);
        payingRound(id, gain, amounts);
    }

    // ---------------------------------------------------------------- settling

    function test_advance_settlesAfterTheChallengeWindow() public {
        bytes32 id = started();
        bytes32 result = fullRound(id);
        vm.warp(START + 119);
        // the commit phase of round 1 is over before: its transition is what is due first
        ledger.advance(id);
        holds(ledger.resultOf(id, result).status == Status.Accepted, "too early");
        vm.warp(START + 120);
        ledger.advance(id);
        holds(ledger.resultOf(id, result).status == Status.Settled, "settled");
        eq(view_(id).settledHeight, 1, "height");
        eq(ledger.creditOf(id, signer(0)), 0.5 ether, "bond");
    }

    function test_advance_settlesSixteenAtOnce() public {
        PolicyHeader memory p = policy();
        p.rounds = 20;
        p.challengeWindow = 1_000_000;
        bytes32 id = started(p, 3);
        for (uint256 i; i < 20; ++i) {
            fullRound(id);
        }
        pass(1_000_000);
        ledger.advance(id);
        eq(view_(id).settledHeight, 16, "sixteen");
        refuses(abi.encodeWithSelector(IFederations.RefundLocked.selector));
        ledger.refund(id);
        ledger.advance(id);
        eq(view_(id).settledHeight, 20, "all");
        refuses(abi.encodeWithSelector(IFederations.NothingToDo.selector));
        ledger.advance(id);
        ledger.refund(id);
    }

    function test_advance_endsAPeriod() public {
        PolicyHeader memory p = policy();
        (p.rounds, p.rewardPeriod) = (4, 2);
        bytes32 id = started(p, 3);
        fullRound(id);
        uint128[] memory amounts = amounts3(1 ether, 0, 1 ether);
        bytes32 second = payingRound(id, 200, amounts);
        vm.warp(START + 120);
        vm.recordLogs();
        ledger.advance(id);
        eq(view_(id).claimable, second, "claimable");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs[logs.length - 1].topics[0], IFederations.PeriodEnded.selector, "period");
        claim(id, 0, amounts);
        eq(_paid(0), 1 ether, "paid");
        refuses(abi.encodeWithSelector(IFederations.RefundLocked.selector));
        ledger.refund(id);
    }

    function test_proposeResult_buildsOnThePeriodBefore() public {
        PolicyHeader memory p = policy();
        (p.rounds, p.rewardPeriod) = (4, 2);
        bytes32 id = started(p, 3);
        fullRound(id); // t = 1
        _expectTotal(id, 200, 2 ether); // t = 2, ends the period
        _expectTotal(id, 100, 3 ether); // t = 3: 2 + 1
        _expectTotal(id, 900, 10 ether); // t = 4: 2 + min(8, 9), on the base of the period before
        holds(view_(id).phase == Phase.Ended, "ended");
    }

    function _expectTotal(bytes32 id, int64 gain, uint128 total) private {
        commitAll(id);
        ResultHeader memory h = header(id);
        (h.gain, h.scores, h.payoutTotal) = (gain, 1, total);
        fullRound(id, h);
    }

    function test_advance_settlesWhileRoundsGoOn() public {
        bytes32 id = started();
        fullRound(id);
        fullRound(id);
        vm.warp(START + 120);
        ledger.advance(id); // the commit deadline, and both settlements
        eq(view_(id).settledHeight, 2, "settled");
        eq(view_(id).round, 3, "void and opened");
    }

    // ---------------------------------------------------------------- ends

    function test_vote_endsAfterTheLastRound() public {
        bytes32 id = started();
        fullRound(id);
        fullRound(id);
        vm.recordLogs();
        fullRound(id);
        holds(view_(id).phase == Phase.Ended, "ended");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs[logs.length - 1].topics[0], IFederations.FederationEnded.selector, "ended");
        (bool idle,) = abi.decode(logs[logs.length - 1].data, (bool, bytes32));
        holds(!idle, "not idle");
    }

    function test_vote_endsWithAStop() public {
        bytes32 id = started();
        commitAll(id);
        ResultHeader memory h = header(id);
        h.stop = true;
        bytes32 result = fullRound(id, h);
        holds(view_(id).phase == Phase.Ended, "ended");
        settleAll(id);
        eq(view_(id).claimable, result, "claimable");
        ledger.refund(id);
        eq(creator.balance, 1e30, "all of the pool");
    }

    function test_close_whileForming() public {
        bytes32 id = create(policy());
        join(id, 0);
        refuses(abi.encodeWithSelector(IFederations.NotIdle.selector, START + 100_000));
        ledger.close(id);
        vm.warp(START + 100_000);
        vm.recordLogs();
        ledger.close(id);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs.length, 1, "no round to void");
        eq(logs[0].topics[0], IFederations.FederationEnded.selector, "ended");
        ledger.refund(id);
        eq(creator.balance, 1e30, "refund");
        vm.prank(controller(0));
        ledger.withdrawStake(id, 0);
        refuses(abi.encodeWithSelector(IFederations.HasEnded.selector));
        ledger.close(id);
    }

    function test_close_voidsTheStandingProposal() public {
        PolicyHeader memory p = policy();
        p.idleWindow = 210;
        bytes32 id = started(p, 3);
        vm.warp(START + 59);
        commit(id, 0);
        commit(id, 1);
        commit(id, 2);
        vm.warp(START + 148);
        ResultHeader memory h = header(id);
        bytes32 result = propose(id, h);
        refuses(abi.encodeWithSelector(IFederations.NotIdle.selector, START + 210));
        ledger.close(id);
        vm.warp(START + 210);
        ledger.close(id);
        holds(ledger.resultOf(id, result).status == Status.Void, "void");
        eq(ledger.creditOf(id, signer(0)), 0.5 ether, "bond");
        ledger.refund(id);
    }

    function test_close_RevertWhen_aProposalIsVotedOn() public {
        PolicyHeader memory p = policy();
        p.idleWindow = 210;
        bytes32 id = started(p, 3);
        commitAll(id);
        miss(id); // at 90
        vm.warp(START + 149);
        proposeAs(address(0xBEEF), id, header(id));
        vm.warp(START + 208);
        vote(id, 0, false);
        vote(id, 1, false);
        vm.warp(START + 209);
        proposeAs(address(0xBEEF), id, header(id));
        vm.warp(START + 268);
        refuses(abi.encodeWithSelector(IFederations.NotIdle.selector, START + 210));
        ledger.close(id);
        vm.warp(START + 269);
        ledger.close(id);
        holds(view_(id).phase == Phase.Ended, "ended");
    }

    /// @dev However long the others took to join.
    function test_close_RevertWhen_round0OpenedJustNow() public {
        bytes32 id = create(policy());
        join(id, 0);
        join(id, 1);
        vm.warp(START + 99_999);
        join(id, 2);
        vm.warp(START + 100_000);
        refuses(abi.encodeWithSelector(IFederations.NotIdle.selector, START + 199_999));
        ledger.close(id);
        vm.warp(START + 199_999);
        ledger.close(id);
    }

    function test_close_RevertWhen_theVotesCarryTheStandingProposal() public {
        PolicyHeader memory p = policy();
        (p.idleWindow, p.quorumBps) = (210, 10_000);
        bytes32 id = started(p, 3);
        commitAll(id);
        propose(id, header(id));
        vote(id, 0, true);
        vote(id, 1, true);
        vm.warp(START + 210);
        refuses(abi.encodeWithSelector(IFederations.NotIdle.selector, START + 210));
        ledger.close(id);
        ledger.advance(id);
        eq(view_(id).headHeight, 1, "accepted");
        refuses(abi.encodeWithSelector(IFederations.NotIdle.selector, START + 420));
        ledger.close(id);
    }

    function test_close_makesTheHeadAPeriodEnd() public {
        bytes32 id = started();
        uint128[] memory amounts = amounts3(1 ether, 2 ether, 0);
        bytes32 result = payingRound(id, 300, amounts);
        settleAll(id);
        eq(view_(id).claimable, 0, "not yet");
        vm.warp(START + 100_000);
        vm.recordLogs();
        ledger.close(id);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs[0].topics[0], IFederations.RoundVoided.selector, "void");
        eq(logs[1].topics[0], IFederations.FederationEnded.selector, "ended");
        eq(logs[2].topics[0], IFederations.PeriodEnded.selector, "period");
        eq(view_(id).claimable, result, "claimable");
        claim(id, 1, amounts);
        ledger.refund(id);
        eq(creator.balance, 1e30 - 3 ether, "refund");
    }

    function test_close_endsThePeriodOnlyOnce() public {
        PolicyHeader memory p = policy();
        p.rewardPeriod = 1;
        bytes32 id = started(p, 3);
        payingRound(id, 300, amounts3(1 ether, 2 ether, 0));
        settleAll(id);
        vm.warp(START + 100_000);
        vm.recordLogs();
        ledger.close(id);
        eq(vm.getRecordedLogs().length, 2, "void and end");
    }

    function test_close_beforeTheHeadHasSettled() public {
        PolicyHeader memory p = policy();
        (p.idleWindow, p.challengeWindow) = (210, 500);
        bytes32 id = started(p, 3);
        bytes32 result = payingRound(id, 300, amounts3(1 ether, 2 ether, 0));
        vm.warp(START + 210);
        ledger.close(id);
        eq(view_(id).claimable, 0, "not settled");
        refuses(abi.encodeWithSelector(IFederations.RefundLocked.selector));
        ledger.refund(id);
        vm.warp(START + 500);
        ledger.advance(id);
        eq(view_(id).claimable, result, "settled");
        ledger.refund(id);
    }

    // ---------------------------------------------------------------- claims

    function testFuzz_claim_paysEveryLeaf(uint256 a, uint256 b, int64 gain, uint256 order) public {
        gain = int64(int256(bound(uint256(uint64(gain)), 1, 2_000)));
        uint256 total = gain >= 1_000 ? 10 ether : 10 ether * uint256(uint64(gain)) / 1_000;
        a = bound(a, 0, total);
        b = bound(b, 0, total - a);
        uint128[] memory amounts = amounts3(uint128(a), uint128(b), uint128(total - a - b));
        bytes32 id = _ended(amounts, gain);
        settleAll(id);
        for (uint256 k; k < 3; ++k) {
            uint256 i = (k + order % 3) % 3;
            if (amounts[i] != 0) claim(id, i, amounts);
            eq(_paid(i), amounts[i], "paid");
        }
        if (total < 10 ether) ledger.refund(id);
        eq(creator.balance, 1e30 - total, "refund");
        eq(address(ledger).balance, 3 ether + 0.5 ether, "stakes and bond");
        eq(view_(id).paid, total, "sum");
    }

    function test_claim_paysTheDifference() public {
        PolicyHeader memory p = policy();
        (p.rounds, p.rewardPeriod) = (2, 1);
        bytes32 id = started(p, 3);
        uint128[] memory first = amounts3(1 ether, 1 ether, 0);
        payingRound(id, 200, first);
        uint128[] memory second = amounts3(1 ether, 2 ether, 2 ether);
        bytes32 last = payingRound(id, 300, second);
        settleAll(id);
        eq(view_(id).claimable, last, "both settled");
        claim(id, 1, second);
        eq(_paid(1), 2 ether, "cumulative");
        (bytes32[] memory hashes, uint256[] memory sums) = SumTree.proof(first, 0);
        refuses(abi.encodeWithSelector(IFederations.InvalidProof.selector));
        ledger.claim(id, 0, 1 ether, hashes, sums);
    }

    function test_claim_paysTheDifferenceAfterAnEarlierClaim() public {
        PolicyHeader memory p = policy();
        (p.rounds, p.rewardPeriod) = (2, 1);
        bytes32 id = started(p, 3);
        uint128[] memory first = amounts3(1 ether, 1 ether, 0);
        payingRound(id, 200, first);
        settleAll(id);
        claim(id, 1, first);
        uint128[] memory second = amounts3(1 ether, 2.5 ether, 1.5 ether);
        commitAll(id);
        ResultHeader memory h = header(id);
        SumTree.Node memory root = SumTree.root(second);
        (h.gain, h.scores, h.payouts, h.payoutTotal) = (300, 1, root.hash, 5 ether);
        fullRound(id, h);
        settleAll(id);
        claim(id, 1, second);
        eq(_paid(1), 2.5 ether, "cumulative");
        claim(id, 0, second);
        eq(_paid(0), 1 ether, "first claim");
    }

    /// @dev A later tree that takes from one what it was paid already must not pay another out of other people's money.
    function test_claim_neverMoreThanTheTotal() public {
        PolicyHeader memory p = policy();
        (p.rounds, p.rewardPeriod) = (2, 1);
        bytes32 id = started(p, 3);
        uint128[] memory first = amounts3(4 ether, 0, 0);
        payingRound(id, 400, first);
        settleAll(id);
        claim(id, 0, first);
        uint128[] memory second = amounts3(0, 5 ether, 5 ether);
        commitAll(id);
        ResultHeader memory h = header(id);
        (h.gain, h.scores, h.payouts, h.payoutTotal) = (600, 1, SumTree.root(second).hash, 10 ether);
        fullRound(id, h);
        settleAll(id);
        claim(id, 1, second);
        claim(id, 2, second);
        eq(_paid(1) + _paid(2), 6 ether, "what was left of the total");
        (bytes32[] memory hashes, uint256[] memory sums) = SumTree.proof(second, 2);
        refuses(abi.encodeWithSelector(IFederations.NothingToClaim.selector, 2));
        ledger.claim(id, 2, 5 ether, hashes, sums);
    }

    function test_claim_RevertWhen_notAllowed() public {
        uint128[] memory amounts = amounts3(2 ether, 3 ether, 0);
        bytes32 id = _ended(amounts, 500);
        (bytes32[] memory hashes, uint256[] memory sums) = SumTree.proof(amounts, 0);
        refuses(abi.encodeWithSelector(IFederations.InvalidProof.selector));
        ledger.claim(id, 0, 2 ether, hashes, sums); // not settled
        settleAll(id);
        refuses(abi.encodeWithSelector(IFederations.InvalidProof.selector));
        ledger.claim(id, 0, 3 ether, hashes, sums);
        refuses(abi.encodeWithSelector(IFederations.InvalidProof.selector));
        ledger.claim(id, 1, 2 ether, hashes, sums);
        refuses(abi.encodeWithSelector(IFederations.InvalidProof.selector));
        ledger.claim(id, 3, 2 ether, hashes, sums);
        claim(id, 0, amounts);
        refuses(abi.encodeWithSelector(IFederations.NothingToClaim.selector, 0));
        ledger.claim(id, 0, 2 ether, hashes, sums);
        (hashes, sums) = SumTree.proof(amounts, 2);
        refuses(abi.encodeWithSelector(IFederations.NothingToClaim.selector, 2));
        ledger.claim(id, 2, 0, hashes, sums);
    }

    function test_claim_inToken() public {
        TestToken token = new TestToken(0);
        token.mint(creator, 10 ether);
        vm.prank(creator);
        token.approve(address(ledger), 10 ether);
        PolicyHeader memory p = policy();
        (p.token, p.rounds) = (address(token), 1);
        bytes32 id = started(p, 3);
        uint128[] memory amounts = amounts3(2 ether, 3 ether, 0);
        payingRound(id, 500, amounts);
        settleAll(id);
        claim(id, 1, amounts);
        eq(token.balanceOf(payout(1)), 3 ether, "tokens");
        eq(_paid(1), 0, "no ether");
        ledger.refund(id);
        eq(token.balanceOf(creator), 5 ether, "refund");
        eq(token.balanceOf(address(ledger)), 2 ether, "still owed");
        eq(address(ledger).balance, 3.5 ether, "stakes and bond are ether");
    }

    function _withPayee() private returns (bytes32 id, Payee payee, uint128[] memory amounts) {
        payee = new Payee(ledger);
        PolicyHeader memory p = policy();
        p.rounds = 1;
        id = create(p);
        vm.deal(controller(0), 1 ether);
        vm.prank(controller(0));
        ledger.join{value: 1 ether}(id, signer(0), address(payee), 0, 0, 1, 0, "");
        join(id, 1);
        join(id, 2);
        amounts = amounts3(2 ether, 3 ether, 0);
        payingRound(id, 500, amounts);
        settleAll(id);
    }

    function test_claim_RevertWhen_payeeRefuses() public {
        (bytes32 id, Payee payee, uint128[] memory amounts) = _withPayee();
        payee.refuse(true);
        (bytes32[] memory hashes, uint256[] memory sums) = SumTree.proof(amounts, 0);
        refuses(abi.encodeWithSelector(IFederations.EtherRefused.selector, address(payee)));
        ledger.claim(id, 0, 2 ether, hashes, sums);
        claim(id, 1, amounts); // nobody else is held up
        ledger.refund(id);
        payee.refuse(false);
        claim(id, 0, amounts);
        eq(address(payee).balance, 2 ether, "paid in the end");
    }

    function test_claim_notReentered() public {
        (bytes32 id, Payee payee, uint128[] memory amounts) = _withPayee();
        (bytes32[] memory hashes, uint256[] memory sums) = SumTree.proof(amounts, 1);
        payee.prepare(abi.encodeCall(IFederations.claim, (id, 1, 3 ether, hashes, sums)));
        claim(id, 0, amounts);
        holds(!payee.reentered(), "reentered");
        eq(address(payee).balance, 2 ether, "paid once");
    }

    // ---------------------------------------------------------------- refunds, bonds

    function test_refund_onlyOnce() public {
        bytes32 id = _ended(amounts3(0, 0, 0), 0);
        refuses(abi.encodeWithSelector(IFederations.RefundLocked.selector));
        ledger.refund(id);
        settleAll(id);
        ledger.refund(id);
        eq(creator.balance, 1e30, "all");
        refuses(abi.encodeWithSelector(IFederations.NothingToRefund.selector));
        ledger.refund(id);
    }

    function test_refund_RevertWhen_allIsPaidOut() public {
        bytes32 id = _ended(amounts3(10 ether, 0, 0), 1_000);
        settleAll(id);
        refuses(abi.encodeWithSelector(IFederations.NothingToRefund.selector));
        ledger.refund(id);
    }

    function test_withdrawBond_RevertWhen_thereIsNone() public {
        bytes32 id = started();
        refuses(abi.encodeWithSelector(IFederations.NothingToWithdraw.selector, address(this)));
        ledger.withdrawBond(id);
    }

    function test_withdrawBond_sumsUp() public {
        PolicyHeader memory p = policy();
        p.attempts = 10;
        bytes32 id = started(p, 3);
        commitAll(id);
        miss(id);
        for (uint256 i; i < 3; ++i) {
            proposeAs(address(0xBEEF), id, header(id));
            vote(id, 0, false);
            vote(id, 1, false);
        }
        eq(ledger.creditOf(id, address(0xBEEF)), 1.5 ether, "credit");
        bytes32 before = ledger.accumulator(id);
        vm.recordLogs();
        vm.prank(address(0xBEEF));
        ledger.withdrawBond(id);
        eq(address(0xBEEF).balance, 1.5 ether, "paid");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs[0].topics[0], IFederations.BondWithdrawn.selector, "event");
        (address proposer, uint128 amount,) = abi.decode(logs[0].data, (address, uint128, bytes32));
        eq(proposer, address(0xBEEF), "proposer");
        eq(amount, 1.5 ether, "amount");
        eq(replay(id, before, logs), ledger.accumulator(id), "history");
    }
}
