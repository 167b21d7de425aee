// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {FederationView, IFederations, Phase, Result, Status} from "../src/interfaces/IFederations.sol";
import {Committee} from "../src/libraries/Committee.sol";
import {Challenged} from "./Challenged.sol";
import {TestToken} from "./Tokens.sol";
import {Vm} from "./Vm.sol";

/// @notice Books of three federations, kept from their events: what rounds there are, what is challenged, and what is owed.
abstract contract Books is Challenged {
    struct Dispute {
        bytes32 result;
        uint8 attempt;
        uint32 index;
        bool open;
        bool isDemand;
        uint256 since; // block of the last step
        address challenger;
    }

    /// @dev An attempt at a result, as the events tell it.
    struct Attempt {
        bytes32 result;
        uint8 attempt;
        bool bond; // is here still
        bool rejected; // by itself, not with what it was built on
        bool proven;
        uint256 proofs; // committed to, and not over
        uint256 until; // of a rejected one: when proofs may not be opened any more
    }

    struct Book {
        bytes32 h;
        bytes32[] results; // every digest that was proposed, once
        Attempt[] attempts;
        bytes32 standing;
        uint256 heldUntil;
        Dispute[] disputes;
        uint256 feesWithdrawn;
        uint32 lastRound;
        uint256 openedBlock;
        uint256 joined;
        uint32 round; // the current one
        uint256 seats; // of what stands
        bool redraws;
    }

    bytes32[3] public ids;
    TestToken public token;
    address[] internal _accounts;

    mapping(bytes32 id => Book) internal _books;
    mapping(bytes32 id => mapping(uint32 round => bool)) private _known;
    mapping(bytes32 id => mapping(uint32 round => bool)) private _live;
    mapping(bytes32 id => mapping(uint32 round => bytes32)) internal _seeds;
    mapping(bytes32 id => mapping(uint32 round => uint256)) internal _candidates;
    mapping(bytes32 id => mapping(bytes32 result => bool)) private _proposed;
    mapping(bytes32 id => mapping(bytes32 result => bytes32)) internal _parents;
    mapping(bytes32 key => uint256 numberPlusOne) private _numbers;
    mapping(bytes32 key => uint256 numberPlusOne) private _attempts;
    mapping(bytes32 id => mapping(bytes32 result => bool)) private _wasAccepted;
    mapping(address account => bool) private _seen;

    // ---------------------------------------------------------------- keeping them

    /// @dev Take in what was logged since the last call. Records are hashed with their time, so before it moves on.
    function _follow() internal {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        for (uint256 n; n < logs.length; ++n) {
            if (logs[n].emitter != address(ledger)) continue;
            _take(logs[n].topics[1], logs[n].topics[0], logs[n].data);
            _takeFall(logs[n].topics[1], logs[n].topics[0], logs[n].data);
        }
        for (uint256 i; i < 3; ++i) {
            Book storage b = _books[ids[i]];
            b.h = replay(ids[i], b.h, logs);
            eq(b.h, ledger.accumulator(ids[i]), "history");
        }
    }

    function _take(bytes32 id, bytes32 topic, bytes memory data) private {
        Book storage b = _books[id];
        if (topic == IFederations.RoundOpened.selector) {
            uint32 round = abi.decode(data, (uint32));
            holds(!_known[id][round], "a round's number is used again");
            (_known[id][round], _live[id][round]) = (true, true);
            (b.lastRound, b.openedBlock) = (round, vm.getBlockNumber());
            _draw(id, b, round);
        } else if (topic == IFederations.ParticipantJoined.selector) {
            ++b.joined;
        } else if (topic == IFederations.SeedDrawn.selector) {
            (uint32 round, bytes32 seed) = abi.decode(data, (uint32, bytes32));
            holds(_seeds[id][round] == 0, "a seed is drawn twice");
            _seeds[id][round] = seed;
        } else if (topic == IFederations.RoundVoided.selector || topic == IFederations.ResultAccepted.selector) {
            uint32 round = abi.decode(data, (uint32));
            holds(_live[id][round], "a round ends twice");
            _live[id][round] = false;
            if (topic == IFederations.ResultAccepted.selector) b.redraws = true;
        } else if (topic == IFederations.ResultRejected.selector) {
            (,, bytes32 result) = abi.decode(data, (uint32, uint8, bytes32));
            (uint256 yes, uint256 no) = Committee.count(ledger.resultOf(id, result).ballots);
            if (2 * (yes + no) < b.seats || 2 * b.seats < _size(id)) b.redraws = true;
        } else if (topic == IFederations.ResultProposed.selector) {
            (,, address proposer,, bytes32 result) = abi.decode(data, (uint32, uint8, address, address, bytes32));
            _meet(proposer);
            if (!_proposed[id][result]) b.results.push(result);
            _proposed[id][result] = true;
        } else if (topic == IFederations.Withdrawn.selector) {
            (,, uint128 fees_) = abi.decode(data, (address, uint128, uint128));
            b.feesWithdrawn += fees_;
        } else if (topic == IFederations.ResultDisproved.selector) {
            (uint32 round, uint8 attempt, bytes32 result, uint32 index) =
                abi.decode(data, (uint32, uint8, bytes32, uint32));
            _over(id, result, attempt, index);
            for (uint32 above = round + 1; above <= b.lastRound; ++above) {
                _live[id][above] = false; // for ever
            }
            if (!_live[id][round]) b.redraws = false; // it had been accepted
            b.round = round;
            _live[id][round] = true;
        } else if (
            topic == IFederations.ChallengeFailed.selector || topic == IFederations.ChallengeReclaimed.selector
                || topic == IFederations.ChallengeConceded.selector
        ) {
            (bytes32 result, uint8 attempt, uint32 index) = abi.decode(data, (bytes32, uint8, uint32));
            _over(id, result, attempt, index);
        } else if (topic == IFederations.ProofCommitted.selector || topic == IFederations.DemandOpened.selector) {
            (bytes32 result, uint8 attempt, uint32 index, address who) =
                abi.decode(data, (bytes32, uint8, uint32, address));
            bytes32 key = keccak256(abi.encode(id, result, attempt, index));
            if (_numbers[key] == 0) {
                b.disputes.push();
                _numbers[key] = b.disputes.length;
            }
            Dispute storage d = b.disputes[_numbers[key] - 1];
            if (topic == IFederations.ProofCommitted.selector) ++_attempt(id, result, attempt).proofs;
            (d.result, d.attempt, d.index, d.open, d.challenger) = (result, attempt, index, true, who);
            (d.isDemand, d.since) = (topic == IFederations.DemandOpened.selector, vm.getBlockNumber());
        }
    }

    /// @dev What stands, what fell, and whose bonds are here.
    function _takeFall(bytes32 id, bytes32 topic, bytes memory data) private {
        Book storage b = _books[id];
        if (topic == IFederations.ResultProposed.selector) {
            (, uint8 attempt,,, bytes32 result) = abi.decode(data, (uint32, uint8, address, address, bytes32));
            Attempt storage a = b.attempts.push();
            (a.result, a.attempt, a.bond, b.standing) = (result, attempt, true, result);
            _attempts[keccak256(abi.encode(id, result, attempt))] = b.attempts.length;
            _wasAccepted[id][result] = false;
        } else if (topic == IFederations.ResultAccepted.selector) {
            (, bytes32 result) = abi.decode(data, (uint32, bytes32));
            (_wasAccepted[id][result], b.standing) = (true, 0);
        } else if (topic == IFederations.ResultSettled.selector) {
            bytes32 result = abi.decode(data, (bytes32));
            _attempt(id, result, ledger.resultOf(id, result).attempt).bond = false;
        } else if (topic == IFederations.ResultRejected.selector) {
            (, uint8 attempt, bytes32 result) = abi.decode(data, (uint32, uint8, bytes32));
            Attempt storage a = _attempt(id, result, attempt);
            (a.rejected, b.standing) = (true, 0);
            if (a.proofs == 0) a.bond = false;
            else a.until = b.heldUntil = vm.getBlockTimestamp() + ANSWER_WINDOW;
        } else if (topic == IFederations.ResultDisproved.selector) {
            (, uint8 attempt, bytes32 result,, uint8 kind) = abi.decode(data, (uint32, uint8, bytes32, uint32, uint8));
            Attempt storage a = _attempt(id, result, attempt);
            (a.rejected, a.bond, a.proven, b.standing) = (true, false, kind != 0, 0);
            if (kind == 0 && a.proofs != 0) a.until = b.heldUntil = vm.getBlockTimestamp() + ANSWER_WINDOW;
            if (_wasAccepted[id][result]) b.heldUntil = vm.getBlockTimestamp() + ANSWER_WINDOW;
        } else if (topic == IFederations.FallenDisproved.selector) {
            (bytes32 result, uint8 attempt, uint32 index) = abi.decode(data, (bytes32, uint8, uint32));
            _over(id, result, attempt, index);
            Attempt storage a = _attempt(id, result, attempt);
            (a.rejected, a.bond, a.proven) = (true, false, true);
        } else if (topic == IFederations.BondReleased.selector) {
            (bytes32 result, uint8 attempt) = abi.decode(data, (bytes32, uint8));
            Attempt storage a = _attempt(id, result, attempt);
            holds(a.bond, "a bond is released twice");
            a.bond = false;
        } else if (topic == IFederations.RoundVoided.selector && b.standing != 0) {
            // Closed away: what stood falls without a word.
            uint8 attempt = ledger.resultOf(id, b.standing).attempt;
            if (_attempt(id, b.standing, attempt).proofs != 0) b.heldUntil = vm.getBlockTimestamp() + ANSWER_WINDOW;
            b.standing = 0;
        }
    }

    function _attempt(bytes32 id, bytes32 result, uint8 attempt) internal view returns (Attempt storage) {
        return _books[id].attempts[_attempts[keccak256(abi.encode(id, result, attempt))] - 1];
    }

    /// @dev Until when proofs against an attempt that fell may be opened.
    function _until(bytes32 id, Attempt memory a) internal view returns (uint256) {
        return a.rejected ? a.until : _books[id].heldUntil;
    }

    /// @dev A round draws among all, or keeps the draw of a round before it that was void.
    function _draw(bytes32 id, Book storage b, uint32 round) private {
        (uint256 candidates, bytes32 seed) = (_candidates[id][b.round], _seeds[id][b.round]);
        bool kept = round != 0 && !b.redraws && candidates > _size(id) && seed != 0;
        if (kept) _seeds[id][round] = seed;
        _candidates[id][round] = kept ? candidates : b.joined;
        (b.round, b.redraws) = (round, false);
    }

    /// @dev The policy's committee size.
    function _size(bytes32 id) internal view virtual returns (uint256);

    function _over(bytes32 id, bytes32 result, uint8 attempt, uint32 index) private {
        Dispute storage d = _books[id].disputes[_numbers[keccak256(abi.encode(id, result, attempt, index))] - 1];
        holds(d.open, "a challenge ends twice");
        d.open = false;
        if (!d.isDemand) --_attempt(id, result, attempt).proofs;
    }

    function _meet(address account) internal {
        if (_seen[account]) return;
        _seen[account] = true;
        _accounts.push(account);
    }

    /// @dev Records are hashed with their time, so they are replayed before it moves on.
    function _warp(uint256 time) internal {
        _follow();
        vm.warp(time);
    }

    // ---------------------------------------------------------------- reading them

    /// @notice What the ledger owes in ether (or tokens), by all that can be read of it.
    function owed(bool inEther) external view returns (uint256 sum) {
        for (uint256 i; i < 3; ++i) {
            FederationView memory v = view_(ids[i]);
            if ((v.token == address(0)) == inEther) sum += _poolLeft(ids[i], v);
            if (inEther) sum += _stakes(ids[i], v) + _bonds(ids[i]) + _challengeBonds(ids[i]) + _credits(ids[i]);
        }
    }

    function balances() external view returns (uint256 inEther, uint256 inTokens) {
        return (address(ledger).balance, token.balanceOf(address(ledger)));
    }

    /// @dev Fees, credited or not, and payouts come out of it; a refund takes what these leave.
    function _poolLeft(bytes32 id, FederationView memory v) private view returns (uint256) {
        uint256 left = v.pool - v.paid - _books[id].feesWithdrawn;
        return v.refunded ? left - (v.pool - ledger.resultOf(id, v.head).payoutTotal - v.fees) : left;
    }

    function _stakes(bytes32 id, FederationView memory v) private view returns (uint256 sum) {
        for (uint32 i; i < v.joined; ++i) {
            sum += ledger.participantOf(id, i).stake;
        }
    }

    function _bonds(bytes32 id) private view returns (uint256 sum) {
        Attempt[] storage attempts = _books[id].attempts;
        for (uint256 i; i < attempts.length; ++i) {
            if (attempts[i].bond) sum += _bond(id);
        }
    }

    function _challengeBonds(bytes32 id) private view returns (uint256 sum) {
        Dispute[] storage disputes = _books[id].disputes;
        for (uint256 i; i < disputes.length; ++i) {
            if (disputes[i].open) sum += _challengeBond(id);
        }
    }

    function _credits(bytes32 id) private view returns (uint256 sum) {
        for (uint256 i; i < _accounts.length; ++i) {
            sum += ethers(id, _accounts[i]);
        }
    }

    /// @notice Payouts and fees within the pool, and payouts within what is left of it without the fees' reserve.
    function checkPools() external view {
        for (uint256 i; i < 3; ++i) {
            FederationView memory v = view_(ids[i]);
            uint256 total = ledger.resultOf(ids[i], v.head).payoutTotal;
            holds(total <= _purse(ids[i]), "payouts beyond the purse");
            holds(v.paid <= _purse(ids[i]), "paid beyond the purse");
            holds(total + v.fees <= v.pool, "fees beyond the reserve");
        }
    }

    /// @notice The lineage is one chain from the first result to the head, settled up to its settled height.
    function checkLineages() external view {
        for (uint256 i; i < 3; ++i) {
            bytes32 id = ids[i];
            FederationView memory v = view_(id);
            bytes32 parent;
            for (uint32 height = 1; height <= v.headHeight; ++height) {
                bytes32 digest_ = ledger.resultAt(id, height);
                Result memory r = ledger.resultOf(id, digest_);
                eq(_parents[id][digest_], parent, "parent");
                eq(r.height, height, "height");
                eq(uint256(r.status), uint256(height <= v.settledHeight ? Status.Settled : Status.Accepted), "status");
                parent = digest_;
            }
            eq(v.head, parent, "head");
            eq(ledger.resultAt(id, v.headHeight + 1), 0, "above the head");
            holds(v.settledHeight <= v.headHeight, "settled above the head");
            holds(v.round <= v.lastRound, "a round to come");
            if (v.phase == Phase.Attest) {
                eq(uint256(ledger.resultOf(id, v.standing).status), uint256(Status.Standing), "standing");
                eq(_parents[id][v.standing], v.head, "the standing one's parent");
            }
        }
    }

    function _bond(bytes32 id) internal view virtual returns (uint256);
    function _challengeBond(bytes32 id) internal view virtual returns (uint256);
    function _purse(bytes32 id) internal view virtual returns (uint256);
}
