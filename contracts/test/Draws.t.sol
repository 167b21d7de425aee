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
        return uint48(uint256(seed));
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
            ledger.vote(id, 0, 0, result, true);
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
        if (_ones(leavers) == 1) leavers ^= 0xfff; // see testFuzz_proposeResult_leavesAVacancy
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
        bytes32 result = proposeAs(seated(id, 1, 1) ? signer(1) : ANYBODY, id, header(id));
        eq(view_(id).seats, active < SIZE ? active : SIZE, "seats of round 1");
        _voteWithout(id, result, seed, leavers);
        status(id, result, Status.Accepted, "accepted");
    }

    /// @dev Where one of twelve has left, half a vacancy at most is expected among four: nobody is looked up, and if it was drawn,
    /// its seat counts as that of somebody silent. In the next attempt the place behind it moves up.
    function testFuzz_proposeResult_leavesAVacancy(bytes32 seed, uint256 leaver) public {
        vm.assume(seed != 0);
        leaver = bound(leaver, 1, MEMBERS - 1);
        bytes32 id = started(_policy(), MEMBERS);
        leave(id, leaver);
        mine();
        commitAll(id);
        propose(id, header(id));
        _voteDrawn(id, blockhash(vm.getBlockNumber() - 1), true);
        mine();
        vm.setBlockhash(vm.getBlockNumber() - 1, seed);
        commitAll(id);
        bytes32 result = proposeAs(seated(id, 1, 1) ? signer(1) : ANYBODY, id, header(id));
        eq(view_(id).seats, SIZE, "seats");
        _refuseVote(id, leaver, result);
        _refuseVote(id, _member(seed, SIZE), result);
        for (uint256 place; view_(id).attempt == 0; ++place) {
            if (_member(seed, place) != leaver) vote(id, _member(seed, place), false);
        }
        result = proposeAs(seated(id, 1, 2) ? signer(2) : ANYBODY, id, header(id));
        eq(view_(id).seats, SIZE, "filled");
        _voteWithout(id, result, seed, 1 << leaver);
    }

    /// @dev One of eight is just few enough.
    function test_proposeResult_leavesAVacancyAmongEight() public {
        bytes32 id = started(_policy(), 8);
        leave(id, 5);
        mine();
        commitAll(id);
        bytes32 result = propose(id, header(id));
        uint256 seed = _bits(blockhash(vm.getBlockNumber() - 1));
        for (uint256 place; ledger.resultOf(id, result).status == Status.Standing; ++place) {
            vote(id, Committee.member(seed, place, 8, SIZE), true);
        }
        seed = 1;
        while (Committee.member(seed, 0, 8, SIZE) != 5) {
            ++seed;
        }
        mine();
        vm.setBlockhash(vm.getBlockNumber() - 1, bytes32(seed));
        commitAll(id);
        result = proposeAs(seated(id, 1, 1) ? signer(1) : ANYBODY, id, header(id));
        eq(view_(id).seats, SIZE, "seats");
        _refuseVote(id, Committee.member(seed, SIZE, 8, SIZE), result);
    }

    function _refuseVote(bytes32 id, uint256 i, bytes32 result) private {
        FederationView memory v = view_(id);
        vm.prank(signer(i));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(i), v.round));
        ledger.vote(id, v.round, v.attempt, result, true);
    }

    /// @dev The first four places whose participants stayed vote; nobody else can.
    function _voteWithout(bytes32 id, bytes32 result, bytes32 seed, uint256 leavers) private {
        uint256 yes;
        for (uint256 place; place < MEMBERS; ++place) {
            uint256 i = _member(seed, place);
            if (leavers >> i & 1 == 0 && _ones(yes) < SIZE) {
                yes |= 1 << place;
                continue;
            }
            _refuseVote(id, i, result);
        }
        uint256 cast;
        for (uint256 place; ledger.resultOf(id, result).status == Status.Standing; ++place) {
            if (yes >> place & 1 == 0) continue;
            vote(id, _member(seed, place), true);
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
            ledger.vote(id, 0, 0, result, true);
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
        uint256 seats;
        for (uint256 i; i < 10; ++i) {
            bool within = Committee.placeOf(_bits(seed), i, 140, 128) < 128;
            if (within) ++seats;
            if (within) continue;
            vm.prank(signer(i));
            refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(i), 1));
            ledger.vote(id, 1, 0, result, true);
        }
        eq(view_(id).seats, seats, "seats");
    }
}
