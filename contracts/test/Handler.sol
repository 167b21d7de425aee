// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {FederationView, IFederations, ParticipantView, Phase, Result, Status} from "../src/interfaces/IFederations.sol";
import {Ask, Question, Target} from "../src/verifier/Types.sol";
import {Committee} from "../src/libraries/Committee.sol";
import {Books} from "./Books.sol";
import {SumTree} from "./SumTree.sol";
import {TestToken} from "./Tokens.sol";

/// @notice Acts on three federations at random, as far as the rules allow: whatever it calls must succeed, and what the
/// rules forbid now must revert. Its results pay whom they like, within their total.
contract Handler is Books {
    uint256 private constant MOST = 6;
    uint256 private constant DRAWN = 3; // seats of the second federation, in which not everybody fits

    mapping(bytes32 id => PolicyHeader) private _policies;
    mapping(bytes32 id => mapping(bytes32 result => uint128[])) private _trees;
    mapping(bytes32 id => mapping(uint256 participant => uint256[])) private _keys;
    mapping(bytes32 id => mapping(uint256 participant => uint32[])) private _since;
    mapping(bytes32 id => uint256) private _places;
    mapping(bytes32 id => uint256) private _vacant;
    mapping(bytes32 id => mapping(bytes32 result => mapping(uint256 attemptAndIndex => uint256))) private _subjects;
    uint256 private _fresh = 0x40000;

    constructor() {
        setUp();
        token = new TestToken();
        token.mint(creator, 10 ether);
        vm.prank(creator);
        token.approve(address(ledger), 10 ether);
        address[6] memory people = [ANYBODY, CHALLENGER, OTHER, ANSWERER, relay(), address(0xA11)];
        for (uint256 i; i < people.length; ++i) {
            _meet(people[i]);
        }
        for (uint256 i; i < MOST; ++i) {
            _meet(payout(i));
        }
        vm.recordLogs();
        vm.fee(7 gwei);
        PolicyHeader memory p = costly();
        (p.rounds, p.rewardPeriod, p.statistics) = (12, 1, 10);
        ids[0] = _begin(p);
        p = costly();
        (p.rounds, p.rewardPeriod, p.token, p.challengeWindow) = (12, 2, address(token), 900);
        (p.committeeSize, p.unbondingWindow) = (uint32(DRAWN), 500);
        ids[1] = _begin(p);
        p = policy();
        (p.rounds, p.attempts, p.stake, p.proposerBond, p.idleWindow) = (6, 1, 0, 0, 2_000);
        p.challengeBond = 1;
        ids[2] = _begin(p);
        _follow();
        mine();
    }

    function _begin(PolicyHeader memory p) private returns (bytes32 id) {
        (p.maxParticipants, p.challengeWindow) = (uint32(MOST), p.challengeWindow < 400 ? 400 : p.challengeWindow);
        id = create(p);
        _policies[id] = p;
        for (uint256 i; i < 4; ++i) {
            _join(id, i);
        }
    }

    function _join(bytes32 id, uint256 i) private {
        FederationView memory v = view_(id);
        join(id, i, _policies[id].stake);
        _keys[id][i].push(signerKey(i));
        _since[id][i].push(v.phase == Phase.Forming ? 0 : v.lastRound + 1);
    }

    /// @dev Every action ends with a replay of the history that it made.
    modifier followed() {
        vm.recordLogs();
        _;
        _follow();
    }

    // ---------------------------------------------------------------- members

    function joinSomeone(uint256 seed) external followed {
        seed = _mixed(seed);
        bytes32 id = _pick(seed);
        FederationView memory v = view_(id);
        if (v.phase == Phase.Ended || v.joined == MOST) return;
        _join(id, v.joined);
    }

    function leaveSomeone(uint256 seed) external followed {
        seed = _mixed(seed);
        (bytes32 id, uint32 i, ParticipantView memory p) = _member(seed);
        if (seed >> 64 & 3 != 0 || p.leftAt != 0 || view_(id).phase == Phase.Ended) return;
        vm.prank(p.controller);
        ledger.leave(id, i);
    }

    function rotateSomeone(uint256 seed) external followed {
        seed = _mixed(seed);
        (bytes32 id, uint32 i, ParticipantView memory p) = _member(seed);
        FederationView memory v = view_(id);
        if (v.phase == Phase.Ended || p.leftAt != 0) return;
        vm.prank(p.controller);
        ledger.rotateSigner(id, i, vm.addr(++_fresh));
        _keys[id][i].push(_fresh);
        _since[id][i].push(v.phase == Phase.Forming ? 0 : v.lastRound + 1);
    }

    function amendSomeones(uint256 seed) external followed {
        seed = _mixed(seed);
        (bytes32 id, uint32 i, ParticipantView memory p) = _member(seed);
        uint32 rows = ledger.datasetOf(id, i, p.datasets - 1).rows;
        vm.prank(p.controller);
        ledger.amendDataset(id, i, 0, rows / 2, 0);
    }

    function withdrawStakeOf(uint256 seed) external followed {
        seed = _mixed(seed);
        (bytes32 id, uint32 i, ParticipantView memory p) = _member(seed);
        uint256 before = p.controller.balance;
        vm.prank(p.controller);
        try ledger.withdrawStake(id, i) {
            holds(p.leftAt != 0 || view_(id).phase == Phase.Ended, "a stake without leaving");
            holds(!p.slashed, "a slashed stake");
            holds(_now() >= _books[id].heldUntil, "a stake that is held");
            eq(p.controller.balance - before, p.stake, "stake");
        } catch {}
    }

    // ---------------------------------------------------------------- rounds

    function commitSomeone(uint256 seed) external followed {
        seed = _mixed(seed);
        _commitNext(_pick(seed), seed >> 8);
    }

    function postBatch(uint256 seed) external followed {
        seed = _mixed(seed);
        bytes32 id = _pick(seed);
        FederationView memory v = view_(id);
        PolicyHeader storage p = _policies[id];
        if (p.relay == address(0) || v.phase != Phase.Commit || v.batched != 0) return;
        if (_now() >= v.deadline - (p.commitWindow - p.batchWindow) || !_seedable(id, v)) return;
        vm.prank(p.relay);
        ledger.postBatch(id, v.round, bytes32(seed), uint32(bound(seed >> 8, 1, v.known)), 0);
    }

    function proposeSomething(uint256 seed, int64 gain, uint256 split) external followed {
        seed = _mixed(seed);
        _propose(_pick(seed), seed >> 8, gain, split);
    }

    function voteSomeone(uint256 seed, bool support) external followed {
        seed = _mixed(seed);
        _voteNext(_pick(seed), seed >> 8, support, seed >> 7 & 1 == 1);
    }

    /// @dev A round without a hitch, so that runs get somewhere.
    function playRound(uint256 seed, int64 gain, uint256 split) external followed {
        seed = _mixed(seed);
        bytes32 id = _pick(seed);
        for (uint256 i; i < MOST; ++i) {
            _commitNext(id, i);
        }
        _propose(id, seed >> 8, gain, split);
        for (uint256 i; i < MOST; ++i) {
            _voteNext(id, i, true, seed >> 7 & 1 == 1);
        }
    }

    function passTime(uint256 seconds_, uint256 blocks) external followed {
        (seconds_, blocks) = (_mixed(seconds_), _mixed(blocks));
        _warp(_now() + bound(seconds_, 1, 150));
        vm.roll(vm.getBlockNumber() + (blocks % 31 == 0 ? 300 : bound(blocks, 1, 5)));
    }

    function advanceSomething(uint256 seed) external followed {
        seed = _mixed(seed);
        bytes32 id = _pick(seed);
        FederationView memory v = view_(id);
        bool running = v.phase != Phase.Forming && v.phase != Phase.Ended;
        if (seed >> 8 & 1 == 1 && running && v.deadline > _now()) _warp(v.deadline);
        bool seedless = v.phase == Phase.Commit && _seedless(id, v) && vm.getBlockNumber() > _books[id].openedBlock;
        bool due = seedless || running && _now() >= v.deadline || _settles(id, v);
        (bool done,) = address(ledger).call(abi.encodeCall(IFederations.advance, (id)));
        holds(done == due, "advance does what is due, and nothing else");
    }

    function closeSomething(uint256 seed) external followed {
        seed = _mixed(seed);
        bytes32 id = _pick(seed);
        FederationView memory v = view_(id);
        uint256 idle = v.lastAccepted + _policies[id].idleWindow;
        if (seed >> 8 & 63 == 0 && v.phase != Phase.Ended && _now() < idle) _warp(idle);
        (uint256 yes, uint256 no) = Committee.count(ledger.resultOf(id, v.standing).ballots);
        bool carried = yes > no && 2 * (yes + no) >= v.seats;
        bool stands = v.phase == Phase.Attest && (_now() < v.deadline || carried);
        bool due = v.phase != Phase.Ended && _now() >= idle && !stands;
        (bool done,) = address(ledger).call(abi.encodeCall(IFederations.close, (id)));
        holds(done == due, "close when idle, and only then");
    }

    // ---------------------------------------------------------------- disputes

    function challengeSomething(uint256 seed, bool isDemand) external followed {
        seed = _mixed(seed);
        bytes32 id = _pick(seed);
        (bytes32 result, Result memory r) = _someResult(id, seed >> 8);
        bool open = result != 0 && _alive(id, result, r) && r.status != Status.Settled && _now() < r.challengeDeadline;
        address who = seed >> 64 & 1 == 1 ? CHALLENGER : OTHER;
        uint256 subject = seed >> 65 & 0xff;
        bytes memory call_ = isDemand
            ? abi.encodeCall(IFederations.demand, (id, result, abi.encode(target(subject))))
            : abi.encodeCall(IFederations.commitProof, (id, result, commitment(who, _proof(subject), SALT)));
        vm.deal(who, who.balance + _challengeBond(id));
        vm.prank(who);
        (bool done,) = address(ledger).call{value: _challengeBond(id)}(call_);
        holds(done == open, "a challenge in time, and only then");
        if (done) _subjects[id][result][uint256(r.attempt) << 32 | r.challenges] = subject;
    }

    /// @dev The next step of a challenge: opened, answered, or gone on with.
    function goOnWithSomething(uint256 seed, bool proves) external followed {
        seed = _mixed(seed);
        bytes32 id = _pick(seed);
        Dispute[] storage disputes = _books[id].disputes;
        if (disputes.length == 0) return;
        Dispute memory d = disputes[(seed >> 8) % disputes.length];
        uint256 slot = uint256(d.attempt) << 32 | d.index;
        uint256 subject = _subjects[id][d.result][slot];
        Result memory r = ledger.resultOf(id, d.result);
        bool alive = d.open && r.attempt == d.attempt && _alive(id, d.result, r);
        Attempt memory a = _attempt(id, d.result, d.attempt);
        if (!d.isDemand && (alive || proves)) {
            bool late = !alive && (!d.open || a.proven || _now() >= _until(id, a));
            mine();
            vm.prank(d.challenger);
            try ledger.openProof(id, d.result, d.attempt, d.index, _proof(subject), SALT) {
                holds(subject & 3 == 0 && !late, "a wrong proof holds, or one that comes too late");
                holds(ledger.attemptOf(id, d.result, d.attempt).proven, "disproved");
            } catch {
                holds(alive || late || subject & 3 != 0, "a right proof in time");
            }
            return;
        }
        if (!alive) {
            bool over = d.isDemand || a.proven || _now() >= _until(id, a);
            (bool reclaimed,) =
                address(ledger).call(abi.encodeCall(IFederations.reclaimChallenge, (id, d.result, d.attempt, d.index)));
            holds(reclaimed == (d.open && over), "a fallen result's challenge is over, once");
            return;
        }
        Target memory t = target(subject);
        vm.prank(ANSWERER);
        try ledger.answer(id, d.result, d.index, t, abi.encode(t.root)) {}
        catch {
            // Answered, or too late.
            uint256 next = seed >> 65 & 0xff;
            vm.prank(d.challenger);
            if (seed >> 80 & 3 == 0) return _concede(id, d);
            bytes memory call_ = proves
                ? abi.encodeCall(
                    IFederations.recommitProof, (id, d.result, d.index, commitment(d.challenger, _proof(next), SALT))
                )
                : abi.encodeCall(IFederations.redemand, (id, d.result, d.index, abi.encode(target(next))));
            (bool done,) = address(ledger).call(call_);
            if (done) _subjects[id][d.result][slot] = next;
        }
    }

    function _concede(bytes32 id, Dispute memory d) private {
        uint256 before = ethers(id, ANSWERER) + ethers(id, d.challenger);
        (bool done,) = address(ledger).call(abi.encodeCall(IFederations.concede, (id, d.result, d.index)));
        if (!done) return;
        uint256 bond = _challengeBond(id);
        eq(ethers(id, ANSWERER) + ethers(id, d.challenger) - before, bond - bond / 8, "all but what is burned");
    }

    function expireSomething(uint256 seed) external followed {
        seed = _mixed(seed);
        bytes32 id = _pick(seed);
        (bytes32 result, Result memory r) = _someResult(id, seed >> 8);
        if (result == 0) return;
        if (seed >> 64 & 1 == 1) _warp(_now() + ANSWER_WINDOW);
        bool open = _alive(id, result, r) && r.challenges != r.resolved;
        (bool done,) = address(ledger).call(abi.encodeCall(IFederations.expireChallenge, (id, result)));
        holds(!done || open, "nothing to expire");
        holds(done || !open || seed >> 64 & 1 == 0, "a clock that does not run out");
    }

    function releaseSomething(uint256 seed) external followed {
        seed = _mixed(seed);
        bytes32 id = _pick(seed);
        uint256 count = _books[id].attempts.length;
        if (count == 0) return;
        Attempt memory a = _books[id].attempts[(seed >> 8) % count];
        Result memory r = ledger.resultOf(id, a.result);
        bool fell = a.bond && (r.attempt != a.attempt || !_alive(id, a.result, r));
        bool due = fell && (a.rejected || a.proofs != 0 ? _now() >= _until(id, a) : true);
        (bool done,) = address(ledger).call(abi.encodeCall(IFederations.releaseBond, (id, a.result, a.attempt)));
        holds(done == due, "a bond is released once, when nothing can be proved against its result any more");
    }

    function chargeSomeone(uint256 seed) external followed {
        seed = _mixed(seed);
        bytes32 id = _pick(seed);
        (bytes32 result, Result memory r) = _someResult(id, seed >> 8);
        uint32 i = uint32((seed >> 64) % view_(id).joined);
        uint256 stake = ledger.participantOf(id, i).stake;
        try ledger.chargeUnavailable(id, result, abi.encode(i)) {
            holds(r.status == Status.Settled, "charged for what is not settled");
            uint256 fee = _policies[id].unavailableFee;
            eq(ledger.participantOf(id, i).stake, fee < stake ? stake - fee : 0, "stake");
        } catch {}
    }

    // ---------------------------------------------------------------- money

    function claimSomeones(uint256 seed) external followed {
        seed = _mixed(seed);
        bytes32 id = _pick(seed);
        FederationView memory v = view_(id);
        if (v.settledHeight == 0) return;
        bytes32 result = ledger.resultAt(id, uint32(bound(seed >> 8, 1, v.settledHeight)));
        _claim(id, result, (seed >> 16) % _trees[id][result].length);
    }

    function refundSomething(uint256 seed) external followed {
        seed = _mixed(seed);
        _refund(_pick(seed));
    }

    function collectSomeones(uint256 seed) external followed {
        seed = _mixed(seed);
        bytes32 id = _pick(seed);
        _collect(id, uint32((seed >> 8) % view_(id).joined));
    }

    function withdrawSomeones(uint256 seed) external followed {
        seed = _mixed(seed);
        _withdraw(_pick(seed), _accounts[(seed >> 8) % _accounts.length]);
    }

    // ---------------------------------------------------------------- the way out

    /// @notice From here, by what anybody may call and what is one's own, everything leaves the ledger.
    function drain() external followed {
        for (uint256 i; i < 3; ++i) {
            bytes32 id = ids[i];
            uint256 most = 8 + 2 * _books[id].disputes.length;
            for (uint256 n; !_isOver(id); ++n) {
                holds(n < most, "no way to the end");
                _stepToTheEnd(id);
            }
            _leaveWithAll(id);
        }
    }

    function _isOver(bytes32 id) private view returns (bool) {
        FederationView memory v = view_(id);
        return v.phase == Phase.Ended && v.settledHeight == v.headHeight;
    }

    function _stepToTheEnd(bytes32 id) private {
        FederationView memory v = view_(id);
        if (v.phase != Phase.Ended) {
            uint256 idle = v.lastAccepted + _policies[id].idleWindow;
            uint256 until = idle > v.deadline ? idle : v.deadline;
            if (_now() < until) _warp(until);
            try ledger.close(id) {}
            catch {
                ledger.advance(id);
            }
            return;
        }
        bytes32 next = ledger.resultAt(id, v.settledHeight + 1);
        Result memory r = ledger.resultOf(id, next);
        if (_now() < r.challengeDeadline) _warp(r.challengeDeadline);
        if (r.challenges == r.resolved) return ledger.advance(id);
        _warp(_now() + ANSWER_WINDOW);
        ledger.expireChallenge(id, next);
    }

    function _leaveWithAll(bytes32 id) private {
        _warp(_now() + 10_000);
        FederationView memory v = view_(id);
        for (uint256 k; k < _trees[id][v.head].length; ++k) {
            _claim(id, v.head, k);
        }
        Dispute[] storage disputes = _books[id].disputes;
        for (uint256 k; k < disputes.length; ++k) {
            if (!disputes[k].open) continue;
            ledger.reclaimChallenge(id, disputes[k].result, disputes[k].attempt, disputes[k].index);
        }
        for (uint256 k; k < _books[id].attempts.length; ++k) {
            Attempt memory a = _books[id].attempts[k];
            if (a.bond) ledger.releaseBond(id, a.result, a.attempt);
        }
        for (uint32 k; k < v.joined; ++k) {
            _collect(id, k);
            ParticipantView memory p = ledger.participantOf(id, k);
            if (p.stake == 0) continue;
            vm.prank(p.controller);
            ledger.withdrawStake(id, k);
        }
        _refund(id);
        for (uint256 k; k < _accounts.length; ++k) {
            _withdraw(id, _accounts[k]);
        }
    }

    // ---------------------------------------------------------------- steps

    /// @dev Whether a commit or a batch may come now: the seed is drawn, or can be.
    function _seedable(bytes32 id, FederationView memory v) private returns (bool) {
        if (!_seedless(id, v)) return true;
        if (vm.getBlockNumber() == _books[id].openedBlock) mine();
        return vm.getBlockNumber() <= _books[id].openedBlock + 256;
    }

    function _seedless(bytes32 id, FederationView memory v) private returns (bool) {
        _follow();
        return _candidates[id][v.round] > _size(id) && _seeds[id][v.round] == 0;
    }

    function _key(bytes32 id, uint256 i, uint32 round) private view returns (uint256) {
        uint256 n = _keys[id][i].length;
        while (_since[id][i][n - 1] > round) --n;
        return _keys[id][i][n - 1];
    }

    function _commitNext(bytes32 id, uint256 from) private {
        FederationView memory v = view_(id);
        if (v.phase != Phase.Commit || _now() >= v.deadline || !_seedable(id, v)) return;
        for (uint256 k; k < v.joined; ++k) {
            uint32 i = uint32((from % v.joined + k) % v.joined);
            if (!seated(id, v.round, i) || ledger.commitOf(id, v.round, i) != 0) continue;
            vm.prank(vm.addr(_key(id, i, v.round)));
            ledger.commitUpdate(id, v.round, update(v.round, i));
            return;
        }
    }

    function _voteNext(bytes32 id, uint256 from, bool support, bool posted) private {
        FederationView memory v = view_(id);
        if (v.phase != Phase.Attest || _now() >= v.deadline) return;
        uint256 ballots = ledger.resultOf(id, v.standing).ballots;
        for (uint256 k; k < _places[id]; ++k) {
            uint256 place = (from % _places[id] + k) % _places[id];
            uint256 i = Committee.member(uint256(_seeds[id][v.round]), place, _candidates[id][v.round], _size(id));
            if (!seated(id, v.round, i) || (ballots >> place | ballots >> 128 + place) & 1 == 1) continue;
            // Only who votes from behind the first places has to show that some are vacant.
            return _cast(id, v, _key(id, i, v.round), place < _policies[id].committeeSize ? 0 : _vacant[id], support, posted);
        }
    }

    function _cast(bytes32 id, FederationView memory v, uint256 key, uint256 vacant, bool support, bool posted) private {
        bytes32 content = voteContent(id, v.round, v.attempt, v.standing, support);
        if (posted) return post(id, ballot(key, content, support), vacant);
        vm.prank(vm.addr(key));
        ledger.vote(id, v.round, v.attempt, v.standing, uint128(vacant), support);
    }

    function _propose(bytes32 id, uint256 seed, int64 gain, uint256 split) private {
        _follow(); // before a header that stands again clears its ballots
        FederationView memory v = view_(id);
        if (v.phase != Phase.Propose || _now() >= v.deadline) return;
        ResultHeader memory h = _header(id, v, seed, gain);
        h.utilities = bytes32(split);
        uint128[] memory amounts = _split(h.payoutTotal, v.known, split);
        h.payouts = SumTree.root(amounts).hash;
        _trees[id][digest(h)] = amounts;
        _parents[id][digest(h)] = v.head;
        _send(id, v, h, seed >> 8 & 1 == 1);
        _seat(id, v);
    }

    function _header(bytes32 id, FederationView memory v, uint256 seed, int64 gain)
        private
        view
        returns (ResultHeader memory h)
    {
        h = header(id);
        h.gain = int64(int256(bound(uint256(uint64(gain)), 0, 1_200)));
        h.scores = seed & 7 == 0 ? 0 : 1;
        bool training = _policies[id].statistics == 0 || v.headHeight != 0;
        h.stop = training && seed >> 3 & 31 == 0;
        uint128 base = _base(id, v);
        uint256 left = _purse(id) - base;
        uint256 released = training && h.scores != 0 ? _purse(id) * uint64(h.gain) / 1_000 : 0;
        h.payoutTotal = base + uint128(released > left ? left : released);
    }

    function _send(bytes32 id, FederationView memory v, ResultHeader memory h, bool signed) private {
        uint256 turn_ = turn(id);
        bool bound_ = !v.turnMissed && turn_ != v.known;
        uint256 key = bound_ ? _key(id, turn_, v.round) : 0;
        uint256 bond = _bond(id);
        vm.deal(ANYBODY, ANYBODY.balance + bond);
        if (bound_) {
            vm.prank(ANYBODY);
            (bool done,) =
                address(ledger).call{value: bond}(abi.encodeCall(IFederations.proposeResult, (id, h, INDEX, "")));
            holds(!done, "another takes the turn");
        }
        bool sends = bound_ && !signed;
        bytes memory signature =
            bound_ && signed ? sign(key, proposalContent(id, v.round, v.attempt, digest(h), INDEX)) : bytes("");
        address who = sends ? vm.addr(key) : ANYBODY;
        vm.deal(who, who.balance + bond);
        vm.prank(who);
        ledger.proposeResult{value: bond}(id, h, INDEX, signature);
    }

    /// @dev The committee by the rule as it is written down.
    function _seat(bytes32 id, FederationView memory v) private {
        _follow();
        (uint256 size, uint256 candidates) = (_size(id), _candidates[id][v.round]);
        uint256 seats;
        uint256 place;
        uint256 vacant;
        for (; place < candidates && (candidates <= size || seats < size); ++place) {
            uint256 i = Committee.member(uint256(_seeds[id][v.round]), place, candidates, size);
            if (seated(id, v.round, i)) ++seats;
            else vacant |= 1 << place;
        }
        (_places[id], _vacant[id], _books[id].seats) = (place, vacant, seats);
        eq(view_(id).seats, seats, "seats");
    }

    function _claim(bytes32 id, bytes32 result, uint256 i) private {
        uint128[] memory amounts = _trees[id][result];
        ParticipantView memory p = ledger.participantOf(id, uint32(i));
        uint256 paid = view_(id).paid;
        try ledger.claim(id, amounts.length, one(claimOf(amounts, i))) {
            uint256 due = amounts[i] - p.paid;
            uint256 left = ledger.resultOf(id, result).payoutTotal - paid;
            if (due > left) due = left;
            eq(ledger.participantOf(id, uint32(i)).paid, p.paid + due, "paid");
        } catch {
            bool last = _isOver(id) && view_(id).head == result;
            bool due = amounts[i] > p.paid && ledger.resultOf(id, result).payoutTotal > paid;
            holds(!last || !due, "the head's payouts are claimable at the end");
        }
    }

    function _refund(bytes32 id) private {
        FederationView memory v = view_(id);
        bool due = _isOver(id) && !v.refunded && ledger.resultOf(id, v.head).payoutTotal + v.fees < v.pool;
        (bool done,) = address(ledger).call(abi.encodeCall(IFederations.refund, (id)));
        holds(done == due, "a refund after the end, once");
    }

    function _collect(bytes32 id, uint32 i) private {
        uint256 before = fees(id, payout(i));
        try ledger.collectFees(id, i, _books[id].results) {
            holds((fees(id, payout(i)) - before) % _policies[id].attesterFee == 0, "fees of votes");
        } catch {}
    }

    function _withdraw(bytes32 id, address who) private {
        (uint256 ethers_, uint256 fees_) = ledger.creditOf(id, who);
        (bool done,) = address(ledger).call(abi.encodeCall(IFederations.withdraw, (id, who)));
        holds(done == (ethers_ + fees_ != 0), "what is credited, and nothing else");
    }

    // ---------------------------------------------------------------- readings

    function _size(bytes32 id) internal view override returns (uint256) {
        return _policies[id].committeeSize;
    }

    function _bond(bytes32 id) internal view override returns (uint256) {
        return _policies[id].proposerBond;
    }

    function _challengeBond(bytes32 id) internal view override returns (uint256) {
        return _policies[id].challengeBond;
    }

    function _purse(bytes32 id) internal view override returns (uint256) {
        PolicyHeader storage p = _policies[id];
        uint256 results = p.rounds + (p.statistics != 0 ? 1 : 0);
        return p.pool - results * (p.proposerFee + uint256(p.committeeSize) * p.attesterFee + p.relayFee);
    }

    /// @dev One in four shows a fraud.
    function _proof(uint256 subject) private pure returns (bytes memory) {
        Question memory q;
        if (subject & 3 != 0) (q.ask, q.holds) = (Ask.Commit, true);
        return proof(uint8(1 + subject % 15), q);
    }

    /// @dev Whether a result can still settle, or has.
    function _alive(bytes32 id, bytes32 result, Result memory r) private view returns (bool) {
        FederationView memory v = view_(id);
        if (r.status == Status.Standing) return v.phase == Phase.Attest && v.standing == result;
        if (r.status == Status.Accepted) return ledger.resultAt(id, r.height) == result;
        return r.status == Status.Settled;
    }

    function _settles(bytes32 id, FederationView memory v) private view returns (bool) {
        if (v.settledHeight == v.headHeight) return false;
        Result memory next = ledger.resultOf(id, ledger.resultAt(id, v.settledHeight + 1));
        return _now() >= next.challengeDeadline && next.challenges == next.resolved;
    }

    /// @dev Payouts until the period before: the slow way, along the lineage.
    function _base(bytes32 id, FederationView memory v) private view returns (uint128 base) {
        PolicyHeader storage p = _policies[id];
        for (uint32 height = 1; height <= v.headHeight; ++height) {
            uint256 t = p.statistics != 0 ? height - 1 : height;
            if (p.rewardPeriod == 0 || t == 0 || t % p.rewardPeriod != 0) continue;
            base = ledger.resultOf(id, ledger.resultAt(id, height)).payoutTotal;
        }
    }

    function _someResult(bytes32 id, uint256 seed) private view returns (bytes32 result, Result memory r) {
        bytes32[] storage results = _books[id].results;
        if (results.length == 0) return (0, r);
        // Mostly the newest ones.
        uint256 back = seed & 3 == 0 ? (seed >> 2) % results.length : 0;
        result = results[results.length - 1 - back];
        r = ledger.resultOf(id, result);
    }

    /// @dev Fuzzers like small numbers, whose high bits are all the same.
    function _mixed(uint256 seed) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(seed)));
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

    function _now() private view returns (uint256) {
        return vm.getBlockTimestamp();
    }
}
