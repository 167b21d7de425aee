// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader} from "../src/Headers.sol";
import {FederationView, IFederations, Phase, Status} from "../src/interfaces/IFederations.sol";
import {Committee} from "../src/libraries/Committee.sol";
import {Challenged} from "./Challenged.sol";
import {Vm} from "./Vm.sol";

/// @notice When a round keeps the committee of the one before, and when it draws a new one.
contract RedrawsTest is Challenged {
    uint256 private constant SIZE = 4;
    uint256 private constant MEMBERS = 12;
    uint256 private constant LATER = 8;

    function _policy() private view returns (PolicyHeader memory p) {
        p = patient();
        (p.maxParticipants, p.committeeSize, p.leastUpdates, p.attempts) = (60, uint32(SIZE), 2, 2);
        p.valuation = 0;
    }

    function _hash(bytes32 seed) private {
        mine();
        vm.setBlockhash(vm.getBlockNumber() - 1, seed);
    }

    /// @dev Twelve members, of whom four are drawn by this seed.
    function _drawn(bytes32 seed) private returns (bytes32 id) {
        id = started(_policy(), MEMBERS);
        _hash(seed);
    }

    function _joinLater(bytes32 id) private {
        for (uint256 i = MEMBERS; i < MEMBERS + LATER; ++i) {
            join(id, i);
        }
    }

    /// @dev The current round commits, whether it draws or not, and its result is voted on by those that are drawn so and by no other.
    function _isDrawn(bytes32 id, bytes32 seed, uint256 candidates, bool draws) private returns (bytes32 result) {
        vm.recordLogs();
        commitAll(id);
        eq(vm.getRecordedLogs()[0].topics[0] == IFederations.SeedDrawn.selector ? 1 : 0, draws ? 1 : 0, "draws");
        result = propose(id, header(id));
        _vote(id, result, seed, candidates);
    }

    function _vote(bytes32 id, bytes32 result, bytes32 seed, uint256 candidates) private {
        FederationView memory v = view_(id);
        eq(v.seats, SIZE, "seats");
        for (uint256 i; i < v.joined; ++i) {
            bool drawn = i < candidates && Committee.placeOf(uint32(uint256(seed)), i, candidates, SIZE) < SIZE;
            if (drawn) continue;
            vm.prank(signer(i));
            refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(i), v.round));
            ledger.vote(id, v.round, v.attempt, result, 0, true);
        }
        for (uint256 place; ledger.resultOf(id, result).status == Status.Standing; ++place) {
            vote(id, Committee.member(uint32(uint256(seed)), place, candidates, SIZE), true);
        }
        status(id, result, Status.Accepted, "accepted");
    }

    /// @dev Who keeps rounds below the least number of updates draws no other committee, nor do those who join meanwhile.
    function testFuzz_advance_tooFewCommitsKeepTheCommittee(bytes32 first, bytes32 second, uint256 rounds, bool one)
        public
    {
        vm.assume(first != 0 && second != 0);
        bytes32 id = _drawn(first);
        _joinLater(id);
        for (uint256 i; i < bound(rounds, 1, 4); ++i) {
            if (one) commit(id, 3);
            miss(id);
            _hash(keccak256(abi.encode(second, i)));
        }
        eq(view_(id).known, MEMBERS + LATER, "who joined since is known");
        _isDrawn(id, first, MEMBERS, false);
        _hash(second);
        _isDrawn(id, second, MEMBERS + LATER, true);
    }

    /// @dev Nor does who lets its turns pass.
    function testFuzz_advance_missedTurnsKeepTheCommittee(bytes32 first, bytes32 second) public {
        vm.assume(first != 0 && second != 0);
        bytes32 id = _drawn(first);
        _joinLater(id);
        commitAll(id);
        miss(id);
        miss(id);
        eq(view_(id).round, 1, "void");
        _hash(second);
        _isDrawn(id, first, MEMBERS, false);
    }

    /// @dev After an attest window in which fewer than half of the seats voted, in whichever attempt, the next round draws anew. In
    /// which half voted, or more: it does not.
    function testFuzz_advance_silenceDrawsANewCommittee(bytes32 first, bytes32 second, uint256 votes, uint256 when)
        public
    {
        vm.assume(first != 0 && second != 0);
        bytes32 id = _drawn(first);
        _joinLater(id);
        commitAll(id);
        (votes, when) = (bound(votes, 0, 2), bound(when, 0, 1));
        for (uint256 attempt; attempt < 2; ++attempt) {
            propose(id, header(id));
            for (uint256 place; place < (attempt == when ? votes : SIZE / 2); ++place) {
                vote(id, Committee.member(uint32(uint256(first)), place, MEMBERS, SIZE), false);
            }
            miss(id);
        }
        eq(view_(id).round, 1, "void");
        _hash(second);
        bool silent = 2 * votes < SIZE;
        _isDrawn(id, silent ? second : first, silent ? MEMBERS + LATER : MEMBERS, silent);
    }

    /// @dev What the committee votes down draws no other one.
    function testFuzz_vote_downKeepsTheCommittee(bytes32 first, bytes32 second) public {
        vm.assume(first != 0 && second != 0);
        bytes32 id = _drawn(first);
        commitAll(id);
        for (uint256 attempt; attempt < 2; ++attempt) {
            bytes32 result = propose(id, header(id));
            for (uint256 place; ledger.resultOf(id, result).status == Status.Standing; ++place) {
                vote(id, Committee.member(uint32(uint256(first)), place, MEMBERS, SIZE), false);
            }
        }
        eq(view_(id).round, 1, "void");
        _hash(second);
        _isDrawn(id, first, MEMBERS, false);
    }

    /// @dev A seed that was not stored in time is lost, and the next round draws another.
    function testFuzz_advance_aLostSeedIsDrawnAnew(bytes32 second, bool late) public {
        vm.assume(second != 0);
        bytes32 id = started(_policy(), MEMBERS);
        _joinLater(id);
        if (late) {
            vm.roll(vm.getBlockNumber() + 257);
            ledger.advance(id);
        } else {
            miss(id); // in the block that opened it
        }
        eq(view_(id).round, 1, "void");
        _hash(second);
        _isDrawn(id, second, MEMBERS + LATER, true);
    }

    /// @dev Where everybody had a seat there was no draw: those who joined meanwhile are drawn from, too.
    function testFuzz_advance_theFirstDrawIsFromAll(bytes32 second) public {
        vm.assume(second != 0);
        bytes32 id = started(_policy(), SIZE);
        for (uint256 i = SIZE; i < MEMBERS; ++i) {
            join(id, i);
        }
        miss(id);
        _hash(second);
        _isDrawn(id, second, MEMBERS, true);
    }

    /// @dev A result that is disproved brings back the committee of its round, which the rounds after it keep.
    function testFuzz_expireChallenge_bringsTheCommitteeBack(bytes32 first, bytes32 second, bool again) public {
        vm.assume(first != 0 && second != 0 && uint32(uint256(first)) != uint32(uint256(second)));
        bytes32 id = _drawn(first);
        bytes32 result = _isDrawn(id, first, MEMBERS, true);
        _joinLater(id);
        _hash(second);
        commit(id, 0); // draws the second one
        demand(CHALLENGER, id, result, 1);
        pass(ANSWER_WINDOW);
        ledger.expireChallenge(id, result);
        eq(view_(id).round, 0, "back");
        if (again) {
            result = propose(id, header(id));
            _vote(id, result, first, MEMBERS);
            return;
        }
        miss(id);
        eq(view_(id).round, 2, "void");
        _hash(second);
        _isDrawn(id, first, MEMBERS, false);
    }

    /// @dev Who of those drawn from has left is passed over in a round that keeps its draw, whether that shows from how many are there
    /// or everybody has to be looked up.
    function testFuzz_proposeResult_passesOverWhoLeftSince(bytes32 first, uint256 leavers, uint256 newcomers) public {
        vm.assume(first != 0);
        bytes32 id = _drawn(first);
        leavers &= 0xfff;
        for (uint256 i; i < MEMBERS; ++i) {
            if (leavers >> i & 1 == 1) leave(id, i);
        }
        for (uint256 i = MEMBERS; i < MEMBERS + bound(newcomers, 2, LATER); ++i) {
            join(id, i);
        }
        miss(id);
        _hash(keccak256("another"));
        commitAll(id);
        bytes32 result = propose(id, header(id));
        uint256 here;
        uint256 vacant;
        for (uint256 place; place < MEMBERS; ++place) {
            uint256 i = Committee.member(uint32(uint256(first)), place, MEMBERS, SIZE);
            if (leavers >> i & 1 == 1) vacant |= 1 << place;
            else if (++here <= SIZE) continue;
            vm.prank(signer(i));
            refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(i), 1));
            ledger.vote(id, 1, 0, result, uint128(vacant), true);
        }
        eq(view_(id).seats, here < SIZE ? here : SIZE, "seats");
    }

    /// @dev A committee most of whose seats are empty decides on one result at most: whoever is left of it cannot hold up the rounds
    /// to come by voting everything down.
    function testFuzz_vote_aRumpIsNotKept(bytes32 first, bytes32 second, uint256 left) public {
        vm.assume(first != 0 && second != 0);
        bytes32 id = _drawn(first);
        left = bound(left, 0, SIZE);
        for (uint256 i = left; i < MEMBERS; ++i) {
            leave(id, i);
        }
        for (uint256 i = MEMBERS; i < MEMBERS + LATER; ++i) {
            join(id, i);
        }
        miss(id);
        _hash(second);
        commitAll(id);
        for (uint256 attempt; attempt < 2; ++attempt) {
            bytes32 result = propose(id, header(id));
            eq(view_(id).seats, left, "seats");
            uint256 vacant;
            for (uint256 place; place < MEMBERS; ++place) {
                if (Committee.member(uint32(uint256(first)), place, MEMBERS, SIZE) >= left) vacant |= 1 << place;
            }
            for (uint256 i; i < left && ledger.resultOf(id, result).status == Status.Standing; ++i) {
                vote(id, i, false, vacant);
            }
            if (left == 0) miss(id);
        }
        eq(view_(id).round, 2, "void");
        _hash(second);
        vm.recordLogs();
        commit(id, MEMBERS);
        eq(vm.getRecordedLogs().length, 2 * left < SIZE ? 2 : 1, "drawn anew");
    }
}
