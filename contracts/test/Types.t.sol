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
        uint16 batched;
        uint16 places;
        uint40 deadline;
        bool missed;
        bool seedless;
        bool redraws;
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
        eq(s.batched(), e.batched, "batched");
        eq(s.places(), e.places, "places");
        eq(s.deadline(), e.deadline, "deadline");
        holds(s.turnMissed() == e.missed, "missed");
        holds(s.seedless() == e.seedless, "seedless");
        holds(s.redraws() == e.redraws, "redraws");
        eq(s.leastUpdates(), e.least, "least updates");
        eq(s.revealWindow(), e.reveal, "reveal window");
        eq(s.proposeWindow(), e.propose, "propose window");
    }

    function testFuzz_roundState_everyTransition(uint256 x, uint256 y, uint40 t1, uint40 t2, bool drawn) public pure {
        Expected memory e;
        (e.round, e.seats, e.known, e.deadline) = (uint32(x), uint16(x >> 32), uint16(x >> 48), uint40(x >> 64));
        (e.least, e.reveal, e.propose) = (uint16(y), uint32(y >> 16), uint32(y >> 48));
        RoundState s = RoundStates.forming(e.least, e.reveal, e.propose);
        s = s.opened(e.round, e.seats, e.known, e.deadline, drawn);
        (e.phase, e.seedless) = (Phase.Commit, drawn);
        _same(s, e);
        s = s.seeded().withCommit();
        (e.commits, e.seedless) = (1, false);
        _same(s, e);
        s = s.withBatch(uint16(y >> 80)).withCommit();
        (e.commits, e.batched) = (2, uint16(y >> 80));
        _same(s, e);
        s = s.proposing(t1);
        (e.phase, e.deadline) = (Phase.Propose, t1);
        _same(s, e);
        s = s.attesting(t2, uint16(y >> 96), uint16(y >> 112));
        (e.phase, e.deadline, e.seats, e.places) = (Phase.Attest, t2, uint16(y >> 96), uint16(y >> 112));
        _same(s, e);
        s = s.redrawing().retrying(t1, false);
        (e.phase, e.deadline, e.attempt, e.redraws) = (Phase.Propose, t1, 1, true);
        _same(s, e);
        s = s.retrying(t2, true);
        (e.deadline, e.attempt, e.missed) = (t2, 2, true);
        _same(s, e);
        s = s.attesting(t1, uint16(y >> 128), uint16(y >> 144));
        (e.phase, e.deadline, e.seats, e.places) = (Phase.Attest, t1, uint16(y >> 128), uint16(y >> 144));
        _same(s, e);
        s = s.ended();
        (e.phase, e.deadline) = (Phase.Ended, 0);
        _same(s, e);
        Expected memory next;
        (next.phase, next.least, next.reveal, next.propose) = (Phase.Commit, e.least, e.reveal, e.propose);
        _same(s.opened(0, 0, 0, 0, false), next);
    }

    /// @dev Nothing of the round that was current shows through, whichever that is.
    function testFuzz_roundState_restored(uint256 word, uint32 round, uint8 attempt, uint16 known, uint16 commits)
        public
        pure
    {
        bool missed = round & 1 == 1;
        uint16 batched = uint16(word >> 96) ^ known;
        word &= ~(uint256(0xff) << 40); // the phase must be one
        Expected memory e;
        RoundState s = RoundState.wrap(word);
        (e.least, e.reveal, e.propose) = (uint16(word >> 176), uint32(word >> 192), uint32(word >> 224));
        (e.round, e.attempt, e.phase) = (round, attempt, Phase.Attest);
        (e.known, e.commits, e.batched, e.missed) = (known, commits, batched, missed);
        _same(s.restored(round, attempt, known, commits, batched, missed), e);
    }

    function testFuzz_seat(uint16 participant, uint32 from, uint32 until, uint32 at) public pure {
        Seat seat = Seats.taken(participant, from);
        holds(seat.exists(), "exists");
        eq(seat.activeUntil(), type(uint32).max, "until further notice");
        seat = seat.leaving(until);
        holds(seat.exists(), "exists still");
        eq(seat.participant(), participant, "participant");
        eq(seat.activeFrom(), from, "from");
        eq(seat.activeUntil(), until, "until");
        holds(seat.activeIn(at) == (from <= at && at < until), "active");
    }

    function test_seat_none() public pure {
        holds(!Seat.wrap(0).exists(), "exists");
        holds(!Seat.wrap(0).activeIn(0), "active");
    }
}
