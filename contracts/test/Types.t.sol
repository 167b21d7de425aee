// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Phase} from "../src/interfaces/IFederations.sol";
import {RoundState, RoundStates} from "../src/types/RoundState.sol";
import {Seat, Seats} from "../src/types/Seat.sol";
import {Asserts} from "./Asserts.sol";

/// @notice The packed words against what they should hold.
contract TypesTest is Asserts {
    struct Expected {
        uint32 round;
        uint8 attempt;
        Phase phase;
        uint16 seats;
        uint16 known;
        uint16 commits;
        uint16 votesFor;
        uint16 votesAgainst;
        uint40 deadline;
        bool missed;
        uint16 least;
        uint32 reveal;
        uint32 propose;
    }

    function _same(RoundState s, Expected memory e) private pure {
        eq(s.round(), e.round, "round");
        eq(s.attempt(), e.attempt, "attempt");
        holds(s.phase() == e.phase && s.inPhase(e.phase), "phase");
        eq(s.seats(), e.seats, "seats");
        eq(s.known(), e.known, "known");
        eq(s.commits(), e.commits, "commits");
        eq(s.votesFor(), e.votesFor, "votes for");
        eq(s.votesAgainst(), e.votesAgainst, "votes against");
        eq(s.deadline(), e.deadline, "deadline");
        holds(s.turnMissed() == e.missed, "missed");
        eq(s.leastUpdates(), e.least, "least updates");
        eq(s.revealWindow(), e.reveal, "reveal window");
        eq(s.proposeWindow(), e.propose, "propose window");
    }

    function testFuzz_roundState_everyTransition(uint256 x, uint256 y, uint40 t1, uint40 t2, uint40 t3) public pure {
        Expected memory e;
        (e.round, e.seats, e.known, e.deadline) = (uint32(x), uint16(x >> 32), uint16(x >> 48), uint40(x >> 64));
        (e.least, e.reveal, e.propose) = (uint16(y), uint32(y >> 16), uint32(y >> 48));
        RoundState s = RoundStates.forming(e.least, e.reveal, e.propose).opened(e.round, e.seats, e.known, e.deadline);
        e.phase = Phase.Commit;
        _same(s, e);
        s = s.withCommit().withCommit();
        e.commits = 2;
        _same(s, e);
        s = s.proposing(t1);
        (e.phase, e.deadline) = (Phase.Propose, t1);
        _same(s, e);
        s = s.attesting(t2);
        (e.phase, e.deadline) = (Phase.Attest, t2);
        _same(s, e);
        s = s.withVote(true).withVote(false).withVote(true);
        (e.votesFor, e.votesAgainst) = (2, 1);
        _same(s, e);
        s = s.retrying(t3, false);
        (e.phase, e.deadline, e.attempt) = (Phase.Propose, t3, 1);
        _same(s, e);
        s = s.retrying(t1, true);
        (e.deadline, e.attempt, e.missed) = (t1, 2, true);
        _same(s, e);
        s = s.attesting(t2);
        (e.phase, e.deadline, e.votesFor, e.votesAgainst) = (Phase.Attest, t2, 0, 0);
        _same(s, e);
        s = s.ended();
        (e.phase, e.deadline) = (Phase.Ended, 0);
        _same(s, e);
        s = s.opened(e.round, e.seats, e.known, t3);
        (e.phase, e.deadline, e.attempt, e.commits, e.missed) = (Phase.Commit, t3, 0, 0, false);
        _same(s, e);
    }

    function testFuzz_seat(uint16 participant, uint32 from, uint32 until, uint32 votedRound, uint8 attempt, uint32 at)
        public
        pure
    {
        vm.assume(votedRound < type(uint32).max);
        Seat seat = Seats.taken(participant, from);
        holds(seat.exists(), "exists");
        holds(!seat.votedIn(votedRound, attempt), "a vote before the first");
        seat = seat.leaving(until).withVote(votedRound, attempt);
        eq(seat.participant(), participant, "participant");
        eq(seat.activeFrom(), from, "from");
        eq(seat.activeUntil(), until, "until");
        holds(seat.votedIn(votedRound, attempt), "vote");
        holds(!seat.votedIn(votedRound, attempt ^ 1), "another attempt");
        holds(!seat.votedIn(votedRound ^ 1, attempt), "another round");
        holds(seat.activeIn(at) == (from <= at && at < until), "active");
    }

    function test_seat_retired() public pure {
        holds(Seats.retired().exists(), "exists");
        holds(!Seats.retired().activeIn(0), "active");
    }
}
