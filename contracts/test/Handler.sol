// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {FederationView, IFederations, ParticipantView, Phase, Result} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";
import {SumTree} from "./SumTree.sol";
import {TestToken} from "./TestToken.sol";
import {Vm} from "./Vm.sol";

/// @notice Acts on three federations at random, as far as the rules allow: whatever it calls must succeed, and what the
/// rules forbid now must revert. Its results pay whom they like, within their total.
contract Handler is Base {
    bytes32[3] public ids;
    TestToken public token;
    address[] public proposers;
    mapping(bytes32 id => mapping(uint32 round => uint256)) public ends;

    mapping(bytes32 id => bytes32) private _h;
    mapping(bytes32 id => mapping(bytes32 result => uint128[])) private _trees;
    mapping(bytes32 ballot => bool) private _voted;
    uint160 private _fresh = 0x40000;

    constructor() {
        setUp();
        token = new TestToken(0);
        token.mint(creator, 10 ether);
        vm.prank(creator);
        token.approve(address(ledger), 10 ether);
        proposers.push(address(0xBEEF));
        vm.recordLogs();
        PolicyHeader memory p = policy();
        (p.rounds, p.rewardPeriod, p.statistics) = (4, 1, 10);
        ids[0] = create(p);
        p = policy();
        (p.rounds, p.rewardPeriod, p.token, p.challengeWindow) = (5, 2, address(token), 900);
        ids[1] = create(p);
        p = policy();
        (p.rounds, p.attempts, p.stake, p.proposerBond, p.idleWindow) = (2, 1, 0, 0, 400);
        ids[2] = create(p);
        for (uint256 i; i < 3; ++i) {
            for (uint256 k; k < 3; ++k) {
                join(ids[i], k, _stake(ids[i]));
            }
        }
        _follow();
    }

    /// @dev Every action ends with a replay of the history that it made.
    modifier followed() {
        vm.recordLogs();
        _;
        _follow();
    }

    // ---------------------------------------------------------------- members

    function joinSomeone(uint256 seed) external followed {
        bytes32 id = _pick(seed);
        FederationView memory v = view_(id);
        if (v.phase == Phase.Ended || v.joined == 5) return;
        join(id, v.joined, _stake(id));
    }

    function leaveSomeone(uint256 seed) external followed {
        (bytes32 id, uint32 i, ParticipantView memory p) = _member(seed);
        if (seed >> 64 & 3 != 0 || p.left || view_(id).phase == Phase.Ended) return;
        vm.prank(p.controller);
        ledger.leave(id, i);
    }

    function rotateSomeone(uint256 seed) external followed {
        (bytes32 id, uint32 i, ParticipantView memory p) = _member(seed);
        if (view_(id).phase == Phase.Ended) return;
        vm.prank(p.controller);
        ledger.rotateSigner(id, i, address(++_fresh));
    }

    function withdrawStakeOf(uint256 seed) external followed {
        (bytes32 id, uint32 i, ParticipantView memory p) = _member(seed);
        uint256 before = p.controller.balance;
        vm.prank(p.controller);
        try ledger.withdrawStake(id, i) {
            holds(p.left || view_(id).phase == Phase.Ended, "a stake without leaving");
            eq(p.controller.balance - before, _stake(id), "stake");
        } catch {
            FederationView memory v = view_(id);
            bool over = v.phase == Phase.Ended && v.settledHeight == v.headHeight;
            holds(!over || !p.staked, "a stake is stranded");
        }
    }

    // ---------------------------------------------------------------- rounds

    function commitSomeone(uint256 seed) external followed {
        bytes32 id = _pick(seed);
        _commitNext(id, seed >> 8);
    }

    function proposeSomething(uint256 seed, int64 gain, uint256 split) external followed {
        _propose(_pick(seed), seed >> 8, gain, split);
    }

    function voteSomeone(uint256 seed, bool support) external followed {
        _voteNext(_pick(seed), seed >> 8, support);
    }

    /// @dev A round without a hitch, so that runs get somewhere.
    function playRound(uint256 seed, int64 gain, uint256 split) external followed {
        bytes32 id = _pick(seed);
        for (uint256 i; i < 5; ++i) {
            _commitNext(id, i);
        }
        _propose(id, seed >> 8, gain, split);
        for (uint256 i; i < 5; ++i) {
            _voteNext(id, i, true);
        }
    }

    function passTime(uint256 seconds_) external followed {
        pass(bound(seconds_, 1, 150));
    }

    function advanceSomething(uint256 seed) external followed {
        bytes32 id = _pick(seed);
        FederationView memory v = view_(id);
        bool running = v.phase != Phase.Forming && v.phase != Phase.Ended;
        if (seed >> 8 & 1 == 1 && running && v.deadline > _now()) vm.warp(v.deadline);
        bool due = running && _now() >= v.deadline;
        if (v.settledHeight < v.headHeight) {
            Result memory next = ledger.resultOf(id, ledger.resultAt(id, v.settledHeight + 1));
            due = due || _now() >= next.challengeDeadline;
        }
        (bool done,) = address(ledger).call(abi.encodeCall(IFederations.advance, (id)));
        holds(done == due, "advance does what is due, and nothing else");
    }

    function closeSomething(uint256 seed) external followed {
        bytes32 id = _pick(seed);
        FederationView memory v = view_(id);
        if (seed >> 8 & 7 == 0 && v.phase != Phase.Ended) vm.warp(v.lastAccepted + _idle(id));
        bool carried = v.votesFor > v.votesAgainst && 2 * (v.votesFor + v.votesAgainst) >= v.seats;
        bool stands = v.phase == Phase.Attest && (_now() < v.deadline || carried);
        bool due = v.phase != Phase.Ended && _now() >= v.lastAccepted + _idle(id) && !stands;
        (bool done,) = address(ledger).call(abi.encodeCall(IFederations.close, (id)));
        holds(done == due, "close when idle, and only then");
    }

    // ---------------------------------------------------------------- money

    function claimSomeones(uint256 seed) external followed {
        bytes32 id = _pick(seed);
        bytes32 result = view_(id).claimable;
        if (result == 0) return;
        _claim(id, result, (seed >> 8) % _trees[id][result].length);
    }

    function refundSomething(uint256 seed) external followed {
        _refund(_pick(seed));
    }

    function withdrawBonds(uint256 seed) external followed {
        _withdrawBonds(_pick(seed), proposers[(seed >> 8) % proposers.length]);
    }

    // ---------------------------------------------------------------- the books

    /// @notice What the ledger owes in ether (or tokens) by all that can be read of it.
    function owed(bool ether_) external view returns (uint256 sum) {
        for (uint256 i; i < 3; ++i) {
            FederationView memory v = view_(ids[i]);
            if ((v.token == address(0)) == ether_) {
                sum += v.pool - v.paid;
                if (v.refunded) sum -= v.pool - ledger.resultOf(ids[i], v.head).payoutTotal;
            }
            if (ether_) sum += _stakes(ids[i], v) + _bonds(ids[i], v);
        }
    }

    /// @notice Payouts within the claimable total, and that within the pool.
    function withinPools() external view returns (bool within) {
        within = true;
        for (uint256 i; i < 3; ++i) {
            FederationView memory v = view_(ids[i]);
            uint128 total = ledger.resultOf(ids[i], v.claimable).payoutTotal;
            within = within && v.paid <= total && total <= v.pool;
        }
    }

    function balances() external view returns (uint256 inEther, uint256 inTokens) {
        return (address(ledger).balance, token.balanceOf(address(ledger)));
    }

    /// @notice From here, by what anybody may call and what is one's own, everything leaves the ledger.
    function drain() external followed {
        for (uint256 i; i < 3; ++i) {
            bytes32 id = ids[i];
            for (uint256 n; view_(id).phase != Phase.Ended; ++n) {
                holds(n < 3, "no way to the end");
                FederationView memory v = view_(id);
                if (_now() < v.lastAccepted + _idle(id)) _warp(v.lastAccepted + _idle(id));
                try ledger.close(id) {}
                catch {
                    if (_now() < v.deadline) _warp(v.deadline);
                    ledger.advance(id);
                }
            }
            _drainEnded(id);
        }
    }

    function _drainEnded(bytes32 id) private {
        _warp(_now() + 10_000);
        if (view_(id).settledHeight < view_(id).headHeight) ledger.advance(id);
        FederationView memory v = view_(id);
        eq(v.settledHeight, v.headHeight, "settled");
        eq(v.claimable, v.head, "the head's payouts are claimable");
        for (uint256 k; k < _trees[id][v.head].length; ++k) {
            _claim(id, v.head, k);
        }
        _refund(id);
        for (uint256 k; k < proposers.length; ++k) {
            _withdrawBonds(id, proposers[k]);
        }
        for (uint32 k; k < v.joined; ++k) {
            ParticipantView memory p = ledger.participantOf(id, k);
            if (!p.staked) continue;
            vm.prank(p.controller);
            ledger.withdrawStake(id, k);
        }
    }

    /// @dev Records are hashed with their time, so they are replayed before it moves on.
    function _warp(uint256 time) private {
        _follow();
        vm.warp(time);
    }

    // ---------------------------------------------------------------- steps

    function _commitNext(bytes32 id, uint256 from) private {
        FederationView memory v = view_(id);
        if (v.phase != Phase.Commit || _now() >= v.deadline) return;
        for (uint256 k; k < v.joined; ++k) {
            uint32 i = uint32((from % v.joined + k) % v.joined);
            ParticipantView memory p = ledger.participantOf(id, i);
            if (p.activeFrom > v.round || v.round >= p.activeUntil) continue;
            if (ledger.commitOf(id, v.round, i) != 0) continue;
            vm.prank(p.signer);
            ledger.commitUpdate(id, v.round, keccak256(abi.encode(v.round, i)));
            return;
        }
    }

    function _voteNext(bytes32 id, uint256 from, bool support) private {
        FederationView memory v = view_(id);
        if (v.phase != Phase.Attest || _now() >= v.deadline) return;
        for (uint256 k; k < v.joined; ++k) {
            uint32 i = uint32((from % v.joined + k) % v.joined);
            ParticipantView memory p = ledger.participantOf(id, i);
            bytes32 ballot = keccak256(abi.encode(id, v.round, v.attempt, i));
            if (p.activeFrom > v.round || v.round >= p.activeUntil || _voted[ballot]) continue;
            _voted[ballot] = true;
            vm.prank(p.signer);
            ledger.vote(id, v.round, v.attempt, v.standing, support);
            return;
        }
    }

    function _propose(bytes32 id, uint256 seed, int64 gain, uint256 split) private {
        FederationView memory v = view_(id);
        if (v.phase != Phase.Propose || _now() >= v.deadline) return;
        ResultHeader memory h = header(id);
        h.gain = int64(int256(bound(uint256(uint64(gain)), 0, 1_200)));
        h.scores = seed & 7 == 0 ? 0 : 1;
        h.utilities = bytes32(split);
        bool training = id != ids[0] || v.headHeight != 0;
        h.stop = training && seed >> 3 & 15 == 0;
        uint128 base = _base(id, v);
        uint256 released = training && h.scores != 0 ? uint256(v.pool) * uint64(h.gain) / 1_000 : 0;
        h.payoutTotal = base + uint128(released > v.pool - base ? v.pool - base : released);
        uint128[] memory amounts = _split(h.payoutTotal, v.known, split);
        h.payouts = SumTree.root(amounts).hash;
        _trees[id][digest(h)] = amounts;
        _send(id, v, h);
    }

    function _send(bytes32 id, FederationView memory v, ResultHeader memory h) private {
        ParticipantView memory p = ledger.participantOf(id, uint32((uint256(v.round) + v.attempt) % v.known));
        bool bound_ = !v.turnMissed && p.activeFrom <= v.round && v.round < p.activeUntil;
        address who = bound_ ? p.signer : address(0xBEEF);
        if (bound_) {
            h.common.round = v.round;
            proposers.push(who);
            vm.deal(address(0xBEEF), 1 ether);
            vm.prank(address(0xBEEF));
            (bool done,) =
                address(ledger).call{value: _bond(id)}(abi.encodeCall(IFederations.proposeResult, (id, h, 0)));
            holds(!done, "another takes the turn");
        }
        vm.deal(who, 1 ether);
        vm.prank(who);
        ledger.proposeResult{value: _bond(id)}(id, h, 0);
    }

    function _claim(bytes32 id, bytes32 result, uint256 i) private {
        uint128[] memory amounts = _trees[id][result];
        ParticipantView memory p = ledger.participantOf(id, uint32(i));
        uint128 left = ledger.resultOf(id, result).payoutTotal - view_(id).paid;
        uint128 due = amounts[i] > p.paid ? amounts[i] - p.paid : 0;
        if (due > left) due = left;
        if (due == 0) return;
        claim(id, i, amounts);
        eq(ledger.participantOf(id, uint32(i)).paid, p.paid + due, "paid");
    }

    function _refund(bytes32 id) private {
        FederationView memory v = view_(id);
        bool over = v.phase == Phase.Ended && v.settledHeight == v.headHeight;
        bool due = over && !v.refunded && ledger.resultOf(id, v.head).payoutTotal < v.pool;
        (bool done,) = address(ledger).call(abi.encodeCall(IFederations.refund, (id)));
        holds(done == due, "a refund after the end, once");
    }

    function _withdrawBonds(bytes32 id, address who) private {
        if (ledger.creditOf(id, who) == 0) return;
        vm.prank(who);
        ledger.withdrawBond(id);
    }

    // ---------------------------------------------------------------- readings

    function _follow() private {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 n; n < logs.length; ++n) {
            if (logs[n].emitter != address(ledger)) continue;
            bytes32 topic = logs[n].topics[0];
            if (topic != IFederations.ResultAccepted.selector && topic != IFederations.RoundVoided.selector) continue;
            bytes memory data = logs[n].data;
            uint32 ended;
            assembly {
                ended := mload(add(data, 0x20))
            }
            holds(++ends[logs[n].topics[1]][ended] == 1, "a round ended twice");
        }
        for (uint256 i; i < 3; ++i) {
            _h[ids[i]] = replay(ids[i], _h[ids[i]], logs);
            eq(_h[ids[i]], ledger.accumulator(ids[i]), "history");
        }
    }

    /// @dev Payouts until the period before: the slow way, along the lineage.
    function _base(bytes32 id, FederationView memory v) private view returns (uint128 base) {
        (uint256 period, uint256 skipped) = id == ids[0] ? (1, 1) : id == ids[1] ? (2, 0) : (0, 0);
        for (uint32 height = 1; height <= v.headHeight; ++height) {
            uint256 t = height - skipped;
            if (period == 0 || t == 0 || t % period != 0) continue;
            base = ledger.resultOf(id, ledger.resultAt(id, height)).payoutTotal;
        }
    }

    function _stakes(bytes32 id, FederationView memory v) private view returns (uint256 sum) {
        for (uint32 i; i < v.joined; ++i) {
            if (ledger.participantOf(id, i).staked) sum += _stake(id);
        }
    }

    function _bonds(bytes32 id, FederationView memory v) private view returns (uint256 sum) {
        sum = uint256(v.headHeight - v.settledHeight) * _bond(id);
        if (v.phase == Phase.Attest) sum += _bond(id);
        for (uint256 i; i < proposers.length; ++i) {
            bool first = true;
            for (uint256 k; k < i; ++k) {
                first = first && proposers[k] != proposers[i];
            }
            if (first) sum += ledger.creditOf(id, proposers[i]);
        }
    }

    function _pick(uint256 seed) private view returns (bytes32) {
        return ids[seed % 3];
    }

    function _member(uint256 seed) private view returns (bytes32 id, uint32 i, ParticipantView memory p) {
        id = _pick(seed);
        i = uint32((seed >> 8) % view_(id).joined);
        p = ledger.participantOf(id, i);
    }

    function _split(uint128 total, uint256 n, uint256 seed) private pure returns (uint128[] memory amounts) {
        amounts = new uint128[](n);
        for (uint256 i; i + 1 < n; ++i) {
            amounts[i] = uint128(bound(uint256(keccak256(abi.encode(seed, i))), 0, total));
            total -= amounts[i];
        }
        amounts[n - 1] = total;
    }

    function _stake(bytes32 id) private view returns (uint256) {
        return id == ids[2] ? 0 : 1 ether;
    }

    function _bond(bytes32 id) private view returns (uint256) {
        return id == ids[2] ? 0 : 0.5 ether;
    }

    function _idle(bytes32 id) private view returns (uint40) {
        return id == ids[2] ? 400 : 100_000;
    }

    function _now() private view returns (uint256) {
        return vm.getBlockTimestamp();
    }
}
