// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {Ballot, Claim, FederationView, IFederations, Phase} from "../src/interfaces/IFederations.sol";
import {Target} from "../src/verifier/Types.sol";
import {Challenged} from "./Challenged.sol";

/// @notice The phase machine, whole: every entry point is tried in every situation, and does, or is refused for, what the
/// table says.
contract PhasesTest is Challenged {
    /// @dev In which a federation can be. Late: the phase's deadline has passed and nobody has advanced yet.
    enum At {
        Forming,
        Commit,
        CommitLate,
        Propose,
        ProposeLate,
        Attest,
        AttestLate,
        Challenged, // a standing result, to which a demand is open
        Answered, // and answered
        Accused, // a standing result, against which a proof was committed
        Overdue, // committing late, over an accepted result that is demanded, whose clock has run out
        Retry, // proposing again after an accepted result was disproved
        Dropped, // the same, of the result that was built on it, accepted and challenged itself
        Held, // the same, of a result that was voted down, while a proof against it may be opened
        Again, // and its header stands again
        Lapsed, // or it may not be opened any more, and nobody has proposed
        Settled, // committing, with a settled result below
        Ended, // with the last result unsettled
        Over, // and settled
        Paid, // the same, with payouts
        Closed, // as idle, before anything was accepted
        ClosedOver // as idle, over a settled result with payouts
    }

    enum Do {
        Join,
        Leave,
        Rotate,
        Key,
        Commit,
        Amend,
        Unstake,
        Update,
        Batch,
        Slice,
        Propose,
        Vote,
        Post,
        Advance,
        Close,
        Checkpoint,
        Prove,
        Demand,
        Answer,
        Open,
        Recommit,
        Redemand,
        Concede,
        Expire,
        Reclaim,
        Release,
        Charge,
        Claim,
        Refund,
        Collect,
        Withdraw
    }

    bytes32 private _id;
    bytes32 private _result;
    uint128[] private _amounts;

    function _policy() private view returns (PolicyHeader memory p) {
        p = costly();
        (p.answerWindow, p.challengeWindow) = (1_000, 130);
    }

    // ---------------------------------------------------------------- situations

    function _arrange(At at) private {
        PolicyHeader memory p = _policy();
        _amounts = amounts3(1 ether, 2 ether, 0);
        if (at == At.Ended || at == At.Over || at == At.Paid) p.rounds = 1;
        // What fees leave of the pool; so a gain of 3,000 pays three ether.
        p.target = p.rounds == 1 ? 9_947 : 9_841;
        if (at == At.Forming) {
            p.startParticipants = 4;
            _id = create(p);
            for (uint256 i; i < 3; ++i) {
                join(_id, i);
            }
            return;
        }
        _id = started(p, 3);
        if (at == At.Commit) return;
        if (at == At.CommitLate) return vm.warp(view_(_id).deadline);
        if (at == At.Closed) {
            pass(p.idleWindow);
            ledger.close(_id);
            return pass(p.unbondingWindow);
        }
        commitAll(_id);
        if (at == At.Propose) return;
        if (at == At.ProposeLate) return vm.warp(view_(_id).deadline);
        _result = propose(_id, at == At.Paid || at == At.ClosedOver ? paying(_id, 3_000, _amounts) : header(_id));
        if (at == At.Attest) return;
        if (at == At.AttestLate) return vm.warp(view_(_id).deadline);
        if (at == At.Accused || at == At.Held || at == At.Again || at == At.Lapsed) {
            commitProof(CHALLENGER, _id, _result, proof(1));
            mine();
            if (at != At.Accused) voteAll(_id, false);
            if (at == At.Again) propose(_id, header(_id));
            if (at == At.Lapsed) pass(1_000);
            return;
        }
        if (at == At.Challenged || at == At.Answered) {
            demand(CHALLENGER, _id, _result, 1);
            if (at == At.Answered) answer(OTHER, _id, _result, 0, 1);
            return;
        }
        voteAll(_id, true);
        if (at == At.Ended) return;
        if (at == At.Overdue || at == At.Retry || at == At.Dropped) {
            demand(CHALLENGER, _id, _result, 1);
            bytes32 below = _result;
            if (at == At.Dropped) {
                _result = fullRound(_id);
                demand(CHALLENGER, _id, _result, 1);
            }
            pass(1_000);
            if (at != At.Overdue) ledger.expireChallenge(_id, below);
            return;
        }
        pass(130);
        ledger.advance(_id);
        if (at == At.Settled) return vm.warp(view_(_id).deadline - 59);
        if (at == At.ClosedOver) {
            pass(p.idleWindow);
            ledger.close(_id);
        }
        pass(p.unbondingWindow);
    }

    // ---------------------------------------------------------------- acts

    function _sender(Do what) private pure returns (address) {
        if (what == Do.Join) return controller(3);
        if (what <= Do.Unstake) return controller(0);
        if (what == Do.Batch) return relay();
        if (what == Do.Update || what == Do.Propose || what == Do.Vote || what == Do.Withdraw) return signer(0);
        return CHALLENGER;
    }

    function _value(Do what) private pure returns (uint256) {
        if (what == Do.Join) return STAKE;
        if (what == Do.Propose) return BOND;
        return what == Do.Prove || what == Do.Demand ? CHALLENGE : 0;
    }

    function _call(Do what) private view returns (bytes memory) {
        FederationView memory v = view_(_id);
        bytes32[] memory results = new bytes32[](1);
        results[0] = _result;
        if (what == Do.Join) return abi.encodeCall(IFederations.join, (_id, application(3), "", ""));
        if (what == Do.Leave) return abi.encodeCall(IFederations.leave, (_id, 0));
        if (what == Do.Rotate) return abi.encodeCall(IFederations.rotateSigner, (_id, 0, address(0xABC)));
        if (what == Do.Key) return abi.encodeCall(IFederations.registerKey, (_id, 0, 0));
        if (what == Do.Commit) return abi.encodeCall(IFederations.commitDataset, (_id, 0, 0, 1, 0, ""));
        if (what == Do.Amend) return abi.encodeCall(IFederations.amendDataset, (_id, 0, 0, 1, 0));
        if (what == Do.Unstake) return abi.encodeCall(IFederations.withdrawStake, (_id, 0));
        if (what == Do.Update) return abi.encodeCall(IFederations.commitUpdate, (_id, v.round, update(v.round, 0)));
        if (what == Do.Batch) return abi.encodeCall(IFederations.postBatch, (_id, v.round, 0, 1, 0));
        if (what == Do.Slice) return abi.encodeCall(IFederations.openSlice, (_id, v.round, 0));
        if (what == Do.Propose) {
            bytes memory turn =
                sign(signerKey(_turnOf(v)), proposalContent(_id, v.round, v.attempt, digest(header(_id)), INDEX));
            return abi.encodeCall(IFederations.proposeResult, (_id, header(_id), INDEX, turn));
        }
        if (what == Do.Vote) return abi.encodeCall(IFederations.vote, (_id, v.round, v.attempt, v.standing, 0, true));
        if (what == Do.Post) {
            Ballot[] memory ballots = new Ballot[](1);
            ballots[0] = ballot(_id, 1, true);
            return abi.encodeCall(IFederations.postVotes, (_id, v.round, v.attempt, v.standing, 0, ballots));
        }
        if (what == Do.Advance) return abi.encodeCall(IFederations.advance, (_id));
        if (what == Do.Close) return abi.encodeCall(IFederations.close, (_id));
        if (what == Do.Checkpoint) return abi.encodeCall(IFederations.checkpoint, (_id));
        if (what == Do.Prove) return abi.encodeCall(IFederations.commitProof, (_id, _result, 0));
        if (what == Do.Demand) return abi.encodeCall(IFederations.demand, (_id, _result, abi.encode(target(2))));
        if (what == Do.Answer) {
            Target memory t = target(1);
            return abi.encodeCall(IFederations.answer, (_id, _result, 0, t, abi.encode(t.root)));
        }
        if (what == Do.Open) return abi.encodeCall(IFederations.openProof, (_id, _result, 0, 0, proof(1), SALT));
        if (what == Do.Recommit) return abi.encodeCall(IFederations.recommitProof, (_id, _result, 0, keccak256("proof")));
        if (what == Do.Redemand) {
            return abi.encodeCall(IFederations.redemand, (_id, _result, 0, abi.encode(target(2))));
        }
        if (what == Do.Concede) return abi.encodeCall(IFederations.concede, (_id, _result, 0));
        if (what == Do.Expire) return abi.encodeCall(IFederations.expireChallenge, (_id, _result));
        if (what == Do.Reclaim) return abi.encodeCall(IFederations.reclaimChallenge, (_id, _result, 0, 0));
        if (what == Do.Release) return abi.encodeCall(IFederations.releaseBond, (_id, _result, 0));
        if (what == Do.Charge) return abi.encodeCall(IFederations.chargeUnavailable, (_id, _result, abi.encode(0)));
        if (what == Do.Claim) return abi.encodeCall(IFederations.claim, (_id, 3, one(claimOf(_amounts, 0))));
        if (what == Do.Refund) return abi.encodeCall(IFederations.refund, (_id));
        if (what == Do.Collect) return abi.encodeCall(IFederations.collectFees, (_id, 0, results));
        return abi.encodeCall(IFederations.withdraw, (_id, signer(0)));
    }

    function _turnOf(FederationView memory v) private pure returns (uint256) {
        return v.known == 0 ? 0 : (uint256(v.round) + v.attempt) % v.known;
    }

    // ---------------------------------------------------------------- the table

    function _is(At at, At a, At b) private pure returns (bool) {
        return at == a || at == b;
    }

    function _ended(At at) private pure returns (bool) {
        return at == At.Ended || _gone(at);
    }

    /// @dev Whether all has ended and settled.
    function _gone(At at) private pure returns (bool) {
        return at >= At.Over;
    }

    function _retrying(At at) private pure returns (bool) {
        return _is(at, At.Retry, At.Dropped) || at == At.Held;
    }

    function _committing(At at) private pure returns (bool) {
        return at == At.Commit || at == At.Settled;
    }

    /// @dev Whether a result is voted on, in time.
    function _voting(At at) private pure returns (bool) {
        return at == At.Attest || at == At.Challenged || at == At.Answered || at == At.Accused || at == At.Again;
    }

    /// @dev Whether the result stands, or is accepted, in time to be challenged.
    function _challengeable(At at) private pure returns (bool) {
        return _voting(at) || at == At.AttestLate || at == At.Ended;
    }

    /// @dev Zero where the act is allowed; else the error that it is refused with.
    function _table(At at, Do what) private pure returns (bytes4) {
        if (what <= Do.Commit) return _ended(at) ? IFederations.HasEnded.selector : bytes4(0);
        if (what == Do.Amend || what == Do.Checkpoint) return 0;
        if (what == Do.Unstake) return _gone(at) ? bytes4(0) : IFederations.StakeLocked.selector;
        if (what == Do.Update || what == Do.Batch) return _phase(_committing(at), _is(at, At.CommitLate, At.Overdue));
        // In a round that is tried again the reveal deadline has passed.
        if (what == Do.Slice) return _phase(at == At.Propose, _is(at, At.ProposeLate, At.Lapsed) || _retrying(at));
        if (what == Do.Propose) {
            return _phase(at == At.Propose || _retrying(at), _is(at, At.ProposeLate, At.Lapsed));
        }
        if (what == Do.Vote || what == Do.Post) return _phase(_voting(at), at == At.AttestLate);
        if (what == Do.Advance) {
            return _is(at, At.CommitLate, At.Overdue) || _is(at, At.ProposeLate, At.AttestLate) || at == At.Lapsed
                ? bytes4(0)
                : IFederations.NothingToDo.selector;
        }
        if (what == Do.Close) return _ended(at) ? IFederations.HasEnded.selector : IFederations.NotIdle.selector;
        if (what == Do.Prove || what == Do.Demand) {
            return _challengeable(at) ? bytes4(0) : IFederations.NotChallengeable.selector;
        }
        if (what == Do.Answer) return at == At.Challenged ? bytes4(0) : IFederations.ChallengeNotOpen.selector;
        if (what == Do.Open) {
            return _is(at, At.Accused, At.Held) || at == At.Again ? bytes4(0) : IFederations.ChallengeNotOpen.selector;
        }
        if (what == Do.Recommit || what == Do.Redemand || what == Do.Concede) {
            return at == At.Answered ? bytes4(0) : IFederations.ChallengeNotOpen.selector;
        }
        if (what == Do.Expire) return at == At.Overdue ? bytes4(0) : IFederations.ChallengeNotOpen.selector;
        if (what == Do.Reclaim || what == Do.Release) {
            if (_is(at, At.Dropped, At.Lapsed)) return 0;
            if (_is(at, At.Held, At.Again)) return IFederations.TooEarly.selector;
            return what == Do.Reclaim
                ? IFederations.ChallengeNotOpen.selector
                : IFederations.NothingToWithdraw.selector;
        }
        bool settled = at == At.Settled || _gone(at) && at != At.Closed;
        if (what == Do.Charge) return settled ? bytes4(0) : IFederations.NothingToCharge.selector;
        if (what == Do.Claim) return _is(at, At.Paid, At.ClosedOver) ? bytes4(0) : IFederations.InvalidProof.selector;
        if (what == Do.Refund) return _gone(at) ? bytes4(0) : IFederations.RefundLocked.selector;
        if (what == Do.Collect) return settled ? bytes4(0) : IFederations.NothingToClaim.selector;
        return settled ? bytes4(0) : IFederations.NothingToWithdraw.selector;
    }

    /// @dev What belongs to a phase is allowed in it, too late at its end, and wrong in every other.
    function _phase(bool allowed, bool late) private pure returns (bytes4) {
        if (allowed) return 0;
        return late ? IFederations.DeadlinePassed.selector : IFederations.WrongPhase.selector;
    }

    // ---------------------------------------------------------------- every pair

    function _try(At at, Do what) private {
        string memory pair = string.concat(vm.toString(uint256(at)), " x ", vm.toString(uint256(what)));
        bytes memory data = _call(what);
        address sender = _sender(what);
        vm.deal(sender, sender.balance + _value(what));
        vm.prank(sender);
        (bool done, bytes memory answer) = address(ledger).call{value: _value(what)}(data);
        bytes4 expected = _table(at, what);
        holds(done == (expected == 0), string.concat(pair, done ? " is allowed" : " is refused"));
        if (!done) eq(bytes4(answer), expected, string.concat(pair, " is refused for another reason"));
    }

    function test_everyPair() public {
        for (uint256 at; at <= uint256(type(At).max); ++at) {
            uint256 fresh = vm.snapshotState();
            _arrange(At(at));
            for (uint256 what; what <= uint256(type(Do).max); ++what) {
                uint256 before = vm.snapshotState();
                _try(At(at), Do(what));
                vm.revertToState(before);
            }
            vm.revertToState(fresh);
        }
    }

    // ---------------------------------------------------------------- unknown

    function testFuzz_everyEntryPoint_RevertWhen_unknown(bytes32 id) public {
        _arrange(At.Attest);
        vm.assume(id != _id);
        for (uint256 what; what <= uint256(type(Do).max); ++what) {
            bytes memory data = _call(Do(what));
            assembly {
                mstore(add(data, 0x24), id)
            }
            vm.deal(_sender(Do(what)), 10 ether);
            vm.prank(_sender(Do(what)));
            (bool done, bytes memory answer) = address(ledger).call{value: _value(Do(what))}(data);
            holds(!done, "an unknown federation");
            // No payout of nothing can be proved.
            bytes4 expected =
                Do(what) == Do.Claim ? IFederations.InvalidProof.selector : IFederations.UnknownFederation.selector;
            eq(bytes4(answer), expected, vm.toString(what));
        }
    }
}
