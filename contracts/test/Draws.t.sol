// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader} from "../src/Headers.sol";
import {Ballot, FederationView, IFederations, Phase, Status} from "../src/interfaces/IFederations.sol";
import {Committee} from "../src/libraries/Committee.sol";
import {Base} from "./Base.sol";
import {Vm} from "./Vm.sol";

/// @notice Committees that are drawn: their seeds, their seats, and who is skipped.
contract DrawsTest is Base {
    uint256 private constant SIZE = 4;
    uint256 private constant MEMBERS = 12;

    /// @dev Twelve members, of whom four vote.
    function _policy() private view returns (PolicyHeader memory p) {
        p = policy();
        (p.maxParticipants, p.committeeSize, p.leastUpdates) = (40, uint32(SIZE), 2);
        p.valuation = 0;
    }

    function _drawn(bytes32 seed) private returns (bytes32 id) {
        id = started(_policy(), MEMBERS);
        mine();
        vm.setBlockhash(vm.getBlockNumber() - 1, seed);
    }

    /// @dev What is kept of a hash.
    function _bits(bytes32 seed) private pure returns (uint256) {
        return uint32(uint256(seed));
    }

    function _member(bytes32 seed, uint256 place) private pure returns (uint256) {
        return Committee.member(_bits(seed), place, MEMBERS, SIZE);
    }

    // ---------------------------------------------------------------- seeds

    function testFuzz_commitUpdate_drawsTheSeed(bytes32 seed, bool batched) public {
        vm.assume(seed != 0);
        PolicyHeader memory p = _policy();
        (p.relay, p.batchWindow) = (relay(), 20);
        bytes32 id = started(p, MEMBERS);
        vm.roll(vm.getBlockNumber() + 1);
        vm.setBlockhash(vm.getBlockNumber() - 1, seed);
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        if (batched) batch(id, 3);
        else commit(id, 5);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        eq(logs.length, 2, "events");
        eq(logs[0].topics[0], IFederations.SeedDrawn.selector, "seed");
        (uint32 round, bytes32 drawn,) = abi.decode(logs[0].data, (uint32, bytes32, bytes32));
        eq(round, 0, "round");
        eq(uint256(drawn), _bits(seed), "seed");
        eq(replay(id, h, logs), ledger.accumulator(id), "history");
        vm.recordLogs();
        commit(id, 6);
        eq(vm.getRecordedLogs().length, 1, "only once");
    }

    /// @dev Nobody may know the seed when the participants are registered, so the opening block itself has none.
    function test_commitUpdate_RevertWhen_theSeedIsNotThere() public {
        bytes32 id = started(_policy(), MEMBERS);
        uint256 opened = vm.getBlockNumber();
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.NoSeed.selector, opened));
        ledger.commitUpdate(id, 0, update(0, 0));
        vm.roll(opened + 257);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.NoSeed.selector, opened));
        ledger.commitUpdate(id, 0, update(0, 0));
        vm.roll(opened + 256);
        commit(id, 0);
    }

    /// @dev Whoever advances stores the seed in time; too late, the round is void at once.
    function testFuzz_advance_drawsTheSeed(uint256 blocks, bool committed) public {
        bytes32 id = started(_policy(), MEMBERS);
        uint256 opened = vm.getBlockNumber();
        refuses(IFederations.NothingToDo.selector);
        ledger.advance(id);
        mine();
        if (committed) commit(id, 0);
        blocks = bound(blocks, 1, 1_000);
        vm.roll(opened + blocks);
        vm.recordLogs();
        if (committed) refuses(IFederations.NothingToDo.selector);
        ledger.advance(id);
        if (committed) return;
        bool late = blocks > 256;
        bytes32[] memory topics = emitted();
        eq(topics.length, late ? 2 : 1, "events");
        eq(topics[0], late ? IFederations.RoundVoided.selector : IFederations.SeedDrawn.selector, "event");
        phase(id, Phase.Commit, "commit");
        eq(view_(id).round, late ? 1 : 0, "round");
        refuses(IFederations.NothingToDo.selector);
        ledger.advance(id);
        if (late) mine();
        vm.recordLogs();
        commit(id, 0);
        eq(emitted().length, late ? 2 : 1, "drawn once");
    }

    /// @dev Where everybody fits in, nothing is drawn and nothing waits for a block.
    function test_commitUpdate_withoutADraw() public {
        PolicyHeader memory p = policy();
        p.committeeSize = p.maxParticipants;
        bytes32 id = started(p, 3);
        vm.recordLogs();
        commit(id, 0);
        eq(vm.getRecordedLogs().length, 1, "events");
        vm.roll(vm.getBlockNumber() + 1_000);
        refuses(IFederations.NothingToDo.selector);
        ledger.advance(id);
    }

    // ---------------------------------------------------------------- seats

    function _proposed(bytes32 seed) private returns (bytes32 id, bytes32 result) {
        id = _drawn(seed);
        commitAll(id);
        result = propose(id, header(id));
    }

    /// @dev Those at the first places vote, and nobody else.
    function testFuzz_vote_byThoseDrawn(bytes32 seed) public {
        vm.assume(seed != 0);
        (bytes32 id, bytes32 result) = _proposed(seed);
        eq(view_(id).seats, SIZE, "seats");
        for (uint256 place = SIZE; place < MEMBERS; ++place) {
            address other = signer(_member(seed, place));
            vm.prank(other);
            refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, other, 0));
            ledger.vote(id, 0, 0, result, 0, true);
        }
        Ballot[] memory ballots = new Ballot[](SIZE);
        for (uint256 place; place < SIZE; ++place) {
            ballots[place] = ballot(id, _member(seed, place), place != 1);
        }
        post(id, ballots);
        eq(ledger.resultOf(id, result).ballots, 13 | 2 << 128, "ballots by place");
        status(id, result, Status.Accepted, "accepted");
    }

    /// @dev A place whose participant has left before the round is nobody's: the next one moves up.
    function testFuzz_proposeResult_skipsWhoLeft(bytes32 seed, uint256 leavers) public {
        vm.assume(seed != 0);
        bytes32 id = started(_policy(), MEMBERS);
        leavers &= 0xfff;
        for (uint256 i; i < MEMBERS; ++i) {
            if (leavers >> i & 1 == 1) leave(id, i);
        }
        mine();
        commitAll(id); // in this round they still have a seat
        propose(id, header(id));
        eq(view_(id).seats, SIZE, "seats of round 0");
        _voteDrawn(id, blockhash(vm.getBlockNumber() - 1), true);
        mine();
        vm.setBlockhash(vm.getBlockNumber() - 1, seed);
        uint256 active = MEMBERS - _ones(leavers);
        eq(view_(id).seats, active, "active");
        commitAll(id);
        if (active < 2) {
            miss(id);
            eq(view_(id).round, 2, "too few commits");
            return;
        }
        bytes32 result = propose(id, header(id));
        eq(view_(id).seats, active < SIZE ? active : SIZE, "seats of round 1");
        _voteWithout(id, result, seed, leavers);
        status(id, result, Status.Accepted, "accepted");
    }

    /// @dev A round that is voted on, from which those at some places have left before it.
    function _without(bytes32 seed, uint256 places) private returns (bytes32 id, bytes32 result) {
        id = started(_policy(), MEMBERS);
        for (uint256 place; place < MEMBERS; ++place) {
            if (places >> place & 1 == 1) leave(id, _member(seed, place));
        }
        miss(id);
        mine();
        vm.setBlockhash(vm.getBlockNumber() - 1, seed);
        commitAll(id);
        result = propose(id, header(id));
        eq(view_(id).seats, SIZE, "seats");
    }

    /// @dev Who is at the place behind the first ones votes, by itself or among others, if it names one before it that is vacant.
    function testFuzz_vote_whoMovesUp(bytes32 seed, uint256 vacancy, bool posted, bool support) public {
        vm.assume(seed != 0);
        vacancy = bound(vacancy, 0, SIZE - 1);
        (bytes32 id, bytes32 result) = _without(seed, 1 << vacancy);
        uint256 who = _member(seed, SIZE);
        _refuseVote(id, _member(seed, vacancy), result, 1 << vacancy);
        _refuseVote(id, _member(seed, SIZE + 1), result, 1 << vacancy);
        _refuseVote(id, who, result, 0);
        Ballot[] memory ballots = new Ballot[](2);
        ballots[0] = ballot(id, _member(seed, vacancy == 0 ? 1 : 0), !support);
        ballots[1] = ballot(id, who, support);
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(who), 1));
        ledger.postVotes(id, 1, 0, result, 0, ballots);
        if (posted) post(id, ballots, 1 << vacancy);
        else vote(id, who, support, 1 << vacancy);
        eq(ledger.resultOf(id, result).ballots & Committee.ballots(SIZE), Committee.ballot(SIZE, support), "its ballot");
    }

    /// @dev A place is vacant if whoever was drawn to it has left; one that is not cannot be named, whoever votes.
    function testFuzz_vote_RevertWhen_aPlaceIsTaken(bytes32 seed, uint256 vacancy, uint256 taken, uint256 voter) public {
        vm.assume(seed != 0);
        (vacancy, taken) = (bound(vacancy, 0, SIZE - 1), bound(taken, 0, MEMBERS - 1));
        if (taken == vacancy) taken = SIZE;
        (bytes32 id, bytes32 result) = _without(seed, 1 << vacancy);
        uint256 who = _member(seed, bound(voter, 0, MEMBERS - 1));
        vm.prank(signer(who));
        refuses(abi.encodeWithSelector(IFederations.NotVacant.selector, taken));
        ledger.vote(id, 1, 0, result, uint128(1 << vacancy | 1 << taken), true);
    }

    /// @dev Vacancies behind a place bring it no seat, nor does one bring two.
    function testFuzz_vote_RevertWhen_tooFewBeforeItAreVacant(bytes32 seed, uint256 before, uint256 behind) public {
        vm.assume(seed != 0);
        (before, behind) = (bound(before, 0, SIZE - 1), bound(behind, SIZE + 2, MEMBERS - 1));
        (bytes32 id, bytes32 result) = _without(seed, 1 << before | 1 << behind);
        _refuseVote(id, _member(seed, SIZE), result, 1 << behind);
        _refuseVote(id, _member(seed, SIZE + 1), result, 1 << before | 1 << behind);
        vote(id, _member(seed, SIZE), true, 1 << before | 1 << behind);
    }

    /// @dev Where there may be too few places to fill all seats, everybody drawn is looked up at once: of 140, of whom three are
    /// there, the two that the draw puts at the first 128 places.
    function test_proposeResult_looksUpWhereManyHaveLeft() public {
        PolicyHeader memory p = _policy();
        p.maxParticipants = 200;
        bytes32 id = started(p, 140);
        for (uint256 i = 3; i < 140; ++i) {
            leave(id, i);
        }
        miss(id);
        mine();
        uint256 seed = 1;
        while (
            Committee.placeOf(seed, 0, 140, SIZE) < 128 || Committee.placeOf(seed, 1, 140, SIZE) >= 128
                || Committee.placeOf(seed, 2, 140, SIZE) >= 128
        ) ++seed;
        vm.setBlockhash(vm.getBlockNumber() - 1, bytes32(seed));
        commitAll(id);
        bytes32 result = proposeAs(signer(1), id, header(id));
        eq(view_(id).seats, 2, "seats");
        _refuseVote(id, 0, result, 0);
    }

    /// @dev Seats that cannot be filled for certain count as filled while so few have left: of 140 one, of whose seats there
    /// are 128.
    function test_proposeResult_leavesAVacancy() public {
        PolicyHeader memory p = _policy();
        (p.maxParticipants, p.committeeSize) = (300, 128);
        bytes32 id = started(p, 256);
        leave(id, 7);
        miss(id);
        mine();
        uint256 seed = 1;
        while (Committee.placeOf(seed, 7, 256, 128) >= 128) {
            ++seed;
        }
        vm.setBlockhash(vm.getBlockNumber() - 1, bytes32(seed));
        commitAll(id);
        bytes32 result = propose(id, header(id));
        eq(view_(id).seats, 128, "one of them is vacant");
        _refuseVote(id, 7, result, 0);
        _refuseVote(id, Committee.member(seed, 128, 256, 128), result, 1 << Committee.placeOf(seed, 7, 256, 128));
        miss(id);
        phase(id, Phase.Propose, "nobody voted");
        propose(id, header(id));
        eq(view_(id).seats, 127, "counted in the next attempt");
    }

    /// @dev Two of 256 are too many for that.
    function test_proposeResult_countsTwoVacancies() public {
        PolicyHeader memory p = _policy();
        (p.maxParticipants, p.committeeSize) = (300, 128);
        bytes32 id = started(p, 256);
        leave(id, 7);
        leave(id, 9);
        miss(id);
        mine();
        uint256 seed = 1;
        while (Committee.placeOf(seed, 7, 256, 128) >= 128 || Committee.placeOf(seed, 9, 256, 128) < 128) {
            ++seed;
        }
        vm.setBlockhash(vm.getBlockNumber() - 1, bytes32(seed));
        commitAll(id);
        propose(id, header(id));
        eq(view_(id).seats, 127, "seats");
    }

    function _refuseVote(bytes32 id, uint256 i, bytes32 result, uint256 vacant) private {
        FederationView memory v = view_(id);
        vm.prank(signer(i));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(i), v.round));
        ledger.vote(id, v.round, v.attempt, result, uint128(vacant), true);
    }

    /// @dev The first four places whose participants stayed vote; nobody else can.
    function _voteWithout(bytes32 id, bytes32 result, bytes32 seed, uint256 leavers) private {
        uint256 yes;
        uint256 vacant;
        for (uint256 place; place < MEMBERS; ++place) {
            if (leavers >> _member(seed, place) & 1 == 1) vacant |= 1 << place;
        }
        for (uint256 place; place < MEMBERS; ++place) {
            if (vacant >> place & 1 == 0 && _ones(yes) < SIZE) yes |= 1 << place;
            else _refuseVote(id, _member(seed, place), result, vacant);
        }
        uint256 cast;
        for (uint256 place; ledger.resultOf(id, result).status == Status.Standing; ++place) {
            if (yes >> place & 1 == 0) continue;
            vote(id, _member(seed, place), true, vacant);
            cast |= 1 << place;
        }
        eq(ledger.resultOf(id, result).ballots, cast, "ballots by place");
    }

    function _voteDrawn(bytes32 id, bytes32 seed, bool support) private {
        bytes32 standing = view_(id).standing;
        for (uint256 place; ledger.resultOf(id, standing).status == Status.Standing; ++place) {
            vote(id, _member(seed, place), support);
        }
    }

    function _ones(uint256 word) private pure returns (uint256 n) {
        (n,) = Committee.count(word);
    }

    /// @dev Who joins after the opening is not among those that are drawn from.
    function test_vote_RevertWhen_itJoinedLater() public {
        bytes32 id = _drawn(keccak256("seed"));
        for (uint256 i = MEMBERS; i < 2 * MEMBERS; ++i) {
            join(id, i);
        }
        commitAll(id);
        bytes32 result = propose(id, header(id));
        for (uint256 i = MEMBERS; i < 2 * MEMBERS; ++i) {
            vm.prank(signer(i));
            refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(i), 0));
            ledger.vote(id, 0, 0, result, 0, true);
        }
        eq(view_(id).seats, SIZE, "seats");
    }

    /// @dev The committee of a round is the same in every attempt, as long as nobody is slashed.
    function testFuzz_vote_sameCommitteeInTheNextAttempt(bytes32 seed) public {
        vm.assume(seed != 0);
        (bytes32 id,) = _proposed(seed);
        _voteDrawn(id, seed, false);
        eq(view_(id).attempt, 1, "attempt");
        bytes32 result = propose(id, header(id));
        _voteDrawn(id, seed, true);
        status(id, result, Status.Accepted, "accepted");
    }

    /// @dev A committee can fill 128 places; whom the draw puts behind them has no seat, whoever left before it.
    function test_proposeResult_atMost128Places() public {
        PolicyHeader memory p = _policy();
        (p.maxParticipants, p.committeeSize) = (200, 128);
        bytes32 id = started(p, 140);
        for (uint256 i = 10; i < 140; ++i) {
            leave(id, i);
        }
        miss(id);
        mine();
        bytes32 seed = blockhash(vm.getBlockNumber() - 1);
        commitAll(id);
        bytes32 result = propose(id, header(id));
        uint256 vacant;
        for (uint256 i = 10; i < 140; ++i) {
            vacant |= 1 << Committee.placeOf(_bits(seed), i, 140, 128);
        }
        uint256 seats;
        for (uint256 i; i < 10; ++i) {
            bool within = Committee.placeOf(_bits(seed), i, 140, 128) < 128;
            if (within) ++seats;
            else _refuseVote(id, i, result, uint128(vacant));
        }
        eq(view_(id).seats, seats, "seats");
    }
}
