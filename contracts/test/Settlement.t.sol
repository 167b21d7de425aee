// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {Application, Claim, IFederations, Phase, Sibling, Status} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";
import {Hostile} from "./Hostile.sol";
import {SumTree} from "./SumTree.sol";
import {Vm} from "./Vm.sol";

/// @notice A payee that refuses ether, or calls back when it is paid.
contract Payee {
    address private immutable _ledger;
    bytes private _call;
    bool public refusing;
    bool public reentered;

    constructor(IFederations ledger) {
        _ledger = address(ledger);
    }

    function prepare(bytes calldata call_) external {
        _call = call_;
    }

    function refuse(bool yes) external {
        refusing = yes;
    }

    receive() external payable {
        require(!refusing);
        if (_call.length != 0) (reentered,) = _ledger.call(_call);
    }
}

/// @notice Settling, ends, and what leaves the pool.
contract SettlementTest is Base {
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
        status(id, result, Status.Accepted, "too early");
        vm.warp(START + 120);
        ledger.advance(id);
        status(id, result, Status.Settled, "settled");
        eq(view_(id).settledHeight, 1, "height");
        eq(ethers(id, signer(0)), BOND, "bond");
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
        refuses(IFederations.RefundLocked.selector);
        ledger.refund(id);
        ledger.advance(id);
        eq(view_(id).settledHeight, 20, "all");
        refuses(IFederations.NothingToDo.selector);
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
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs[logs.length - 1].topics[0], IFederations.PeriodEnded.selector, "period");
        (bytes32 result,, uint128 total,) = abi.decode(logs[logs.length - 1].data, (bytes32, bytes32, uint128, bytes32));
        eq(result, second, "claimable");
        eq(total, 2 ether, "total");
        claim(id, 0, amounts);
        eq(payout(0).balance, 1 ether, "paid");
        refuses(IFederations.RefundLocked.selector);
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
        phase(id, Phase.Ended, "ended");
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
        phase(id, Phase.Ended, "ended");
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
        fullRound(id, h);
        phase(id, Phase.Ended, "ended");
        settleAll(id);
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
        bytes32[] memory topics = emitted();
        eq(topics.length, 1, "no round to void");
        eq(topics[0], IFederations.FederationEnded.selector, "ended");
        ledger.refund(id);
        eq(creator.balance, 1e30, "refund");
        vm.prank(controller(0));
        ledger.withdrawStake(id, 0);
        refuses(IFederations.HasEnded.selector);
        ledger.close(id);
    }

    function test_close_voidsTheStandingProposal() public {
        PolicyHeader memory p = policy();
        p.idleWindow = 210;
        bytes32 id = started(p, 3);
        vm.warp(START + 59);
        commitAll(id);
        vm.warp(START + 148);
        bytes32 result = propose(id, header(id));
        refuses(abi.encodeWithSelector(IFederations.NotIdle.selector, START + 210));
        ledger.close(id);
        refuses(abi.encodeWithSelector(IFederations.NothingToWithdraw.selector, signer(0)));
        ledger.releaseBond(id, result, 0);
        vm.warp(START + 210);
        ledger.close(id);
        ledger.releaseBond(id, result, 0);
        status(id, result, Status.Void, "void");
        eq(ethers(id, signer(0)), BOND, "bond");
        refuses(abi.encodeWithSelector(IFederations.NothingToWithdraw.selector, signer(0)));
        ledger.releaseBond(id, result, 0);
        ledger.refund(id);
    }

    function test_close_RevertWhen_aProposalIsVotedOn() public {
        PolicyHeader memory p = policy();
        p.idleWindow = 210;
        bytes32 id = started(p, 3);
        commitAll(id);
        miss(id); // at 90
        vm.warp(START + 149);
        proposeAs(ANYBODY, id, header(id));
        vm.warp(START + 208);
        vote(id, 0, false);
        vote(id, 1, false);
        vm.warp(START + 209);
        proposeAs(ANYBODY, id, header(id));
        vm.warp(START + 268);
        refuses(abi.encodeWithSelector(IFederations.NotIdle.selector, START + 210));
        ledger.close(id);
        vm.warp(START + 269);
        ledger.close(id);
        phase(id, Phase.Ended, "ended");
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
        payingRound(id, 300, amounts);
        settleAll(id);
        Claim[] memory claims = one(claimOf(amounts, 1));
        refuses(IFederations.InvalidProof.selector); // not yet
        ledger.claim(id, 3, claims);
        vm.warp(START + 100_000);
        vm.recordLogs();
        ledger.close(id);
        bytes32[] memory topics = emitted();
        eq(topics[0], IFederations.RoundVoided.selector, "void");
        eq(topics[1], IFederations.FederationEnded.selector, "ended");
        eq(topics[2], IFederations.PeriodEnded.selector, "period");
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
        eq(emitted().length, 2, "void and end");
    }

    function test_close_beforeTheHeadHasSettled() public {
        PolicyHeader memory p = policy();
        (p.idleWindow, p.challengeWindow) = (210, 500);
        bytes32 id = started(p, 3);
        uint128[] memory amounts = amounts3(1 ether, 2 ether, 0);
        payingRound(id, 300, amounts);
        vm.warp(START + 210);
        ledger.close(id);
        Claim[] memory claims = one(claimOf(amounts, 1));
        refuses(IFederations.InvalidProof.selector); // not settled
        ledger.claim(id, 3, claims);
        refuses(IFederations.RefundLocked.selector);
        ledger.refund(id);
        vm.warp(START + 500);
        ledger.advance(id);
        claim(id, 1, amounts);
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
            eq(payout(i).balance, amounts[i], "paid");
        }
        if (total < 10 ether) ledger.refund(id);
        eq(creator.balance, 1e30 - total, "refund");
        eq(address(ledger).balance, 3 * STAKE + BOND, "stakes and bond");
        eq(view_(id).paid, total, "sum");
    }

    /// @dev Any number of leaves of any tree in one transaction, each of them once.
    function testFuzz_claim_manyAtOnce(uint256 n, uint256 seed, uint256 chosen) public {
        PolicyHeader memory p = policy();
        (p.rounds, p.maxParticipants, p.committeeSize, p.valuation) = (1, 20, 20, 0);
        n = bound(n, 1, 20);
        p.leastUpdates = 1;
        bytes32 id = started(p, n);
        uint128[] memory amounts = new uint128[](n);
        uint128 left = 10 ether;
        for (uint256 i; i + 1 < n; ++i) {
            amounts[i] = uint128(bound(uint256(keccak256(abi.encode(seed, i))), 1, 0.4 ether));
            left -= amounts[i];
        }
        amounts[n - 1] = left;
        payingRound(id, 1_000, amounts);
        settleAll(id);
        Claim[] memory claims = new Claim[](n);
        uint256 k;
        for (uint256 i; i < n; ++i) {
            if (chosen >> i & 1 == 1) claims[k++] = claimOf(amounts, i);
        }
        assembly {
            mstore(claims, k)
        }
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        ledger.claim(id, n, claims);
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
        for (uint256 i; i < n; ++i) {
            eq(payout(i).balance, chosen >> i & 1 == 1 ? amounts[i] : 0, "paid");
        }
        if (k == 0) return;
        claims[0] = claims[k - 1];
        refuses(abi.encodeWithSelector(IFederations.NothingToClaim.selector, claims[0].participant));
        ledger.claim(id, n, claims);
    }

    /// @dev A proof that is wrong is its sender's own fault.
    function test_claim_RevertWhen_oneOfManyIsWrong() public {
        uint128[] memory amounts = amounts3(2 ether, 3 ether, 0);
        bytes32 id = _ended(amounts, 500);
        settleAll(id);
        Claim[] memory claims = new Claim[](2);
        (claims[0], claims[1]) = (claimOf(amounts, 0), claimOf(amounts, 1));
        claims[1].amount -= 1;
        refuses(IFederations.InvalidProof.selector);
        ledger.claim(id, 3, claims);
        eq(payout(0).balance, 0, "nothing was paid");
    }

    /// @dev What another sender has claimed since stops nobody, nor does a claim that stands twice in one transaction.
    function testFuzz_claim_passesOverWhatIsPaid(uint256 paid) public {
        uint128[] memory amounts = amounts3(2 ether, 3 ether, 0);
        bytes32 id = _ended(amounts, 500);
        settleAll(id);
        paid = bound(paid, 0, 1);
        claim(id, paid, amounts);
        Claim[] memory claims = new Claim[](4);
        (claims[0], claims[1], claims[2], claims[3]) =
            (claimOf(amounts, 0), claimOf(amounts, 1), claimOf(amounts, 0), claimOf(amounts, 2));
        ledger.claim(id, 3, claims);
        holds(payout(0).balance == 2 ether && payout(1).balance == 3 ether, "each once");
        refuses(abi.encodeWithSelector(IFederations.NothingToClaim.selector, 0));
        ledger.claim(id, 3, claims);
    }

    function test_claim_paysTheDifference() public {
        PolicyHeader memory p = policy();
        (p.rounds, p.rewardPeriod) = (2, 1);
        bytes32 id = started(p, 3);
        uint128[] memory first = amounts3(1 ether, 1 ether, 0);
        payingRound(id, 200, first);
        uint128[] memory second = amounts3(1 ether, 2 ether, 2 ether);
        payingRound(id, 300, second);
        settleAll(id);
        claim(id, 1, second);
        eq(payout(1).balance, 2 ether, "cumulative");
        Claim[] memory claims = one(claimOf(first, 0));
        refuses(IFederations.InvalidProof.selector);
        ledger.claim(id, 3, claims);
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
        payingRound(id, 300, second);
        settleAll(id);
        claim(id, 1, second);
        eq(payout(1).balance, 2.5 ether, "cumulative");
        claim(id, 0, second);
        eq(payout(0).balance, 1 ether, "first claim");
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
        payingRound(id, 600, second);
        settleAll(id);
        claim(id, 1, second);
        claim(id, 2, second);
        eq(payout(1).balance + payout(2).balance, 6 ether, "what was left of the total");
        Claim[] memory claims = one(claimOf(second, 2));
        refuses(abi.encodeWithSelector(IFederations.NothingToClaim.selector, 2));
        ledger.claim(id, 3, claims);
    }

    function _refused(bytes32 id, uint256 leaves, Claim memory c, bytes memory reason) private {
        refuses(reason);
        ledger.claim(id, leaves, one(c));
    }

    function test_claim_RevertWhen_notAllowed() public {
        uint128[] memory amounts = amounts3(2 ether, 3 ether, 0);
        bytes32 id = _ended(amounts, 500);
        bytes memory invalid = abi.encodeWithSelector(IFederations.InvalidProof.selector);
        Claim memory c = claimOf(amounts, 0);
        _refused(id, 3, c, invalid); // not settled
        settleAll(id);
        c.amount = 3 ether;
        _refused(id, 3, c, invalid);
        c = claimOf(amounts, 0);
        c.participant = 1;
        _refused(id, 3, c, invalid);
        c.participant = 3;
        _refused(id, 3, c, invalid);
        c = claimOf(amounts, 0);
        _refused(id, 4, c, invalid); // another tree
        claim(id, 0, amounts);
        _refused(id, 3, c, abi.encodeWithSelector(IFederations.NothingToClaim.selector, 0));
        _refused(id, 3, claimOf(amounts, 2), abi.encodeWithSelector(IFederations.NothingToClaim.selector, 2));
        _refused(0, 3, c, invalid);
    }

    function test_claim_RevertWhen_noTreeIsClaimable() public {
        PolicyHeader memory p = policy();
        p.rounds = 1;
        bytes32 id = started(p, 3);
        commitAll(id);
        ResultHeader memory h = header(id);
        (h.payouts, h.payoutTotal) = (0, 0);
        fullRound(id, h);
        settleAll(id);
        // A path that leads nowhere implies a root and a total of zero.
        Claim memory c = claimOf(amounts3(1 ether, 0, 0), 0);
        c.path = new Sibling[](0);
        _refused(id, 3, c, abi.encodeWithSelector(IFederations.InvalidProof.selector));
    }

    // ---------------------------------------------------------------- payees

    function _withPayee() private returns (bytes32 id, Payee payee, uint128[] memory amounts) {
        payee = new Payee(ledger);
        PolicyHeader memory p = policy();
        p.rounds = 1;
        id = create(p);
        Application memory a = application(0);
        a.payout = address(payee);
        join(id, a, STAKE);
        join(id, 1);
        join(id, 2);
        amounts = amounts3(2 ether, 3 ether, 0);
        payingRound(id, 500, amounts);
        settleAll(id);
    }

    function test_claim_RevertWhen_payeeRefuses() public {
        (bytes32 id, Payee payee, uint128[] memory amounts) = _withPayee();
        payee.refuse(true);
        _refused(id, 3, claimOf(amounts, 0), abi.encodeWithSelector(IFederations.EtherRefused.selector, address(payee)));
        claim(id, 1, amounts); // nobody else is held up
        ledger.refund(id);
        payee.refuse(false);
        claim(id, 0, amounts);
        eq(address(payee).balance, 2 ether, "paid in the end");
    }

    /// @dev Among others, a payee that refuses, burns all its gas or floods its sender with data costs that sender a fixed amount
    /// of gas, and nobody else its payout. Its own stays due.
    function testFuzz_claim_onePayeesFailureIsItsOwn(uint256 how, bool first) public {
        (bytes32 id, Payee payee, uint128[] memory amounts) = _withPayee();
        Hostile.Way way = Hostile.Way(bound(how, 0, 3));
        bytes memory kind = address(payee).code;
        vm.etch(address(payee), address(new Hostile(way)).code);
        Claim[] memory claims = new Claim[](2);
        (claims[0], claims[1]) = (claimOf(amounts, first ? 0 : 1), claimOf(amounts, first ? 1 : 0));
        vm.txGasPrice(1 gwei);
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        uint256 gas = gasleft();
        ledger.claim(id, 3, claims);
        holds(gas - gasleft() < 300_000, "a fixed amount of gas");
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
        holds(payout(1).balance == 3 ether && address(payee).balance == 0, "the other alone");
        holds(view_(id).paid == 3 ether && ledger.participantOf(id, 0).paid == 0, "books");
        refuses(abi.encodeWithSelector(IFederations.EtherRefused.selector, address(payee)));
        ledger.claim(id, 3, claims);
        vm.etch(address(payee), kind);
        payee.refuse(false);
        claim(id, 0, amounts);
        eq(address(payee).balance, 2 ether, "paid in the end");
    }

    /// @dev A payee fails for want of gas only if it had all that it may use: else its sender is short, and all is taken back.
    function testFuzz_claim_RevertWhen_shortOfGas(uint256 gas) public {
        (bytes32 id, Payee payee, uint128[] memory amounts) = _withPayee();
        vm.etch(address(payee), address(new Hostile(Hostile.Way.Dear)).code);
        Claim[] memory claims = new Claim[](2);
        (claims[0], claims[1]) = (claimOf(amounts, 1), claimOf(amounts, 0));
        (bool done,) = address(ledger).call{gas: bound(gas, 60_000, 300_000)}(
            abi.encodeCall(IFederations.claim, (id, 3, claims))
        );
        eq(address(payee).balance, done ? 2 ether : 0, "all or nothing");
        eq(payout(1).balance, done ? 3 ether : 0, "the other");
        if (done) return;
        ledger.claim{gas: 500_000}(id, 3, claims);
        holds(address(payee).balance == 2 ether && payout(1).balance == 3 ether, "paid in the end");
    }

    /// @dev Alone, a payee may use whatever its sender gives it: no payout is out of reach.
    function test_claim_aloneWithAllTheGas() public {
        (bytes32 id, Payee payee, uint128[] memory amounts) = _withPayee();
        vm.etch(address(payee), address(new Hostile(Hostile.Way.Dearest)).code);
        claim(id, 0, amounts);
        eq(address(payee).balance, 2 ether, "paid");
    }

    /// @dev Whatever pays does not let the payee call anything that pays.
    function testFuzz_claim_notReentered(uint256 which) public {
        (bytes32 id, Payee payee, uint128[] memory amounts) = _withPayee();
        which = bound(which, 0, 4);
        if (which == 0) payee.prepare(abi.encodeCall(IFederations.claim, (id, 3, one(claimOf(amounts, 1)))));
        if (which == 1) payee.prepare(abi.encodeCall(IFederations.refund, (id)));
        if (which == 2) payee.prepare(abi.encodeCall(IFederations.withdraw, (id, address(payee))));
        if (which == 3) payee.prepare(abi.encodeCall(IFederations.withdrawStake, (id, 0)));
        if (which == 4) payee.prepare(abi.encodeCall(IFederations.createFederation, (policy(), 0, "")));
        claim(id, 0, amounts);
        holds(!payee.reentered(), "reentered");
        eq(address(payee).balance, 2 ether, "paid once");
    }

    /// @dev What does not pay may be called by a payee: the history holds, in the order of the calls.
    function test_claim_checkpointWhilePaying() public {
        (bytes32 id, Payee payee, uint128[] memory amounts) = _withPayee();
        payee.prepare(abi.encodeCall(IFederations.checkpoint, (id)));
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        claim(id, 0, amounts);
        holds(payee.reentered(), "called back");
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
    }

    function testFuzz_withdraw_notReentered(bool again) public {
        bytes32 id = proposing(policy());
        miss(id);
        Payee payee = new Payee(ledger);
        proposeAs(address(payee), id, header(id));
        voteAll(id, false);
        if (again) payee.prepare(abi.encodeCall(IFederations.withdraw, (id, address(payee))));
        else payee.refuse(true);
        if (!again) refuses(abi.encodeWithSelector(IFederations.EtherRefused.selector, address(payee)));
        ledger.withdraw(id, address(payee));
        holds(!payee.reentered(), "reentered");
        eq(address(payee).balance, again ? BOND : 0, "paid once");
        eq(ethers(id, address(payee)), again ? 0 : BOND, "credit");
    }

    // ---------------------------------------------------------------- refunds, credits

    function test_refund_onlyOnce() public {
        bytes32 id = _ended(amounts3(0, 0, 0), 0);
        refuses(IFederations.RefundLocked.selector);
        ledger.refund(id);
        settleAll(id);
        ledger.refund(id);
        eq(creator.balance, 1e30, "all");
        refuses(IFederations.NothingToRefund.selector);
        ledger.refund(id);
    }

    function test_refund_RevertWhen_allIsPaidOut() public {
        bytes32 id = _ended(amounts3(10 ether, 0, 0), 1_000);
        settleAll(id);
        refuses(IFederations.NothingToRefund.selector);
        ledger.refund(id);
    }

    function test_withdraw_RevertWhen_thereIsNothing() public {
        bytes32 id = started();
        refuses(abi.encodeWithSelector(IFederations.NothingToWithdraw.selector, ANYBODY));
        ledger.withdraw(id, ANYBODY);
    }

    function test_withdraw_sumsUp() public {
        PolicyHeader memory p = policy();
        p.attempts = 10;
        bytes32 id = started(p, 3);
        commitAll(id);
        miss(id);
        for (uint256 i; i < 3; ++i) {
            proposeAs(ANYBODY, id, header(id));
            vote(id, 0, false);
            vote(id, 1, false);
        }
        eq(ethers(id, ANYBODY), 3 * BOND, "credit");
        bytes32 before = ledger.accumulator(id);
        vm.recordLogs();
        withdraw(id, ANYBODY);
        eq(ANYBODY.balance, 3 * BOND, "paid");
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(replay(id, before, logs), ledger.accumulator(id), "history");
        (address account, uint128 ethers_, uint128 fees_,) =
            abi.decode(logs[0].data, (address, uint128, uint128, bytes32));
        eq(account, ANYBODY, "account");
        holds(ethers_ == 3 * BOND && fees_ == 0, "amounts");
    }

    /// @dev Stakes and bonds of nothing, and of a wei.
    function testFuzz_dust(uint256 seed) public {
        PolicyHeader memory p = policy();
        (p.rounds, p.pool, p.target) = (1, uint128(seed >> 8 & 3), uint64(1 + (seed >> 16 & 3)));
        (p.stake, p.proposerBond, p.challengeBond) = (uint128(seed & 1), uint128(seed >> 1 & 1), uint128(seed >> 2 & 1));
        p.rejectionFee = p.proposerBond;
        (p.unavailableFee, p.unbondingWindow) = (p.stake, p.attestWindow);
        bytes32 id = started(p, 3);
        commitAll(id);
        ResultHeader memory h = header(id);
        for (uint256 i; i < 2; ++i) {
            vm.deal(signer(i), p.proposerBond);
            vm.prank(signer(i));
            ledger.proposeResult{value: p.proposerBond}(id, h, INDEX, "");
            voteAll(id, i == 1);
        }
        settleAll(id);
        if (p.pool != 0) ledger.refund(id);
        if (p.proposerBond != 0) withdraw(id, signer(1));
        for (uint256 i; i < 3 && p.stake != 0; ++i) {
            if (i == 0) pass(p.unbondingWindow);
            ledger.withdrawStake(id, uint32(i));
        }
        eq(address(ledger).balance, 0, "nothing is left");
        eq(BURNED.balance, p.rejectionFee, "burned");
    }
}
