// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFederations, Phase, Status} from "../interfaces/IFederations.sol";
import {RoundState} from "../types/RoundState.sol";
import {Seat} from "../types/Seat.sol";
import {Credit, Federation, Participant, Proposed, Replaced} from "../types/State.sol";
import {History} from "./History.sol";

/// @notice What the entry points share: how a round moves on, the lineage, and whose money is whose.
library Rounds {
    /// @notice Where burned ether goes: nobody has this address's key.
    address internal constant BURNED = 0x000000000000000000000000000000000000dEaD;

    // ---------------------------------------------------------------- the record

    /// @notice Log an event and take it into the accumulator; `fields` are its data without the accumulator.
    function record(Federation storage f, bytes32 id, bytes32 topic, bytes memory fields) internal {
        f.h = History.append(f.h, id, topic, fields);
    }

    function exists(Federation storage f) internal view returns (bool) {
        return RoundState.unwrap(f.state) != 0;
    }

    /// @notice A participant that exists.
    function participant(Federation storage f, uint32 index) internal view returns (Participant storage) {
        if (index >= f.joined) revert IFederations.UnknownParticipant(index);
        return f.participants[index];
    }

    /// @notice Whether a participant may propose and vote in a round.
    function inGoodStanding(Participant storage p, uint32 round) internal view returns (bool) {
        return p.from <= round && round < p.until && !p.slashed;
    }

    /// @notice Whether a signer's seat is one in a round, and its participant was not slashed.
    function mayAct(Federation storage f, RoundState s, Seat seat, uint32 round) internal view returns (bool) {
        return seat.activeIn(round) && !(s.scarred() && f.participants[seat.participant()].slashed);
    }

    /// @notice The first round that is not opened yet.
    function nextRound(Federation storage f) internal view returns (uint32) {
        return f.state.inPhase(Phase.Forming) ? 0 : f.lastRound + 1;
    }

    /// @notice End a participant's seat with the newest round.
    function unseat(Federation storage f, Participant storage p) internal {
        uint32 until = nextRound(f);
        (p.until, p.leftAt) = (until, uint40(block.timestamp));
        --f.active;
        f.weights -= p.weight;
        f.seats[p.signer] = f.seats[p.signer].leaving(until);
    }

    // ---------------------------------------------------------------- from phase to phase

    /// @notice Open the next round on the head, with a committee of its own or that of the round before.
    function openNext(Federation storage f, bytes32 id, bool redraw) internal {
        RoundState s = f.state;
        uint32 round = nextRound(f);
        uint40 deadline = timeIn(f.rules.commitWindow);
        (uint16 seats, uint16 known, uint16 candidates) = (f.active, f.joined, f.candidates);
        uint256 size = f.rules.committeeSize;
        // If all participants had a seat, or the seed was never stored, there is no draw to keep.
        bool kept = !redraw && candidates > size && !s.seedless();
        (f.lastRound, f.openedBlock, f.candidates) = (round, uint40(block.number), kept ? candidates : known);
        f.state = s.opened(round, seats, known, deadline, !kept && known > size);
        record(f, id, IFederations.RoundOpened.selector, abi.encode(round, head(f), seats, deadline));
    }

    /// @notice End the current round without a result, and open the next. The next round keeps the committee: a minority that makes
    /// rounds void would else draw until a committee suits it.
    function voidRound(Federation storage f, bytes32 id) internal {
        RoundState s = f.state;
        record(f, id, IFederations.RoundVoided.selector, abi.encode(s.round()));
        openNext(f, id, s.redraws());
    }

    /// @notice Go back to proposing with the next attempt; 0 if there is none.
    function retry(Federation storage f, RoundState s, bool missed) internal returns (uint40 deadline) {
        if (s.attempt() + 1 >= f.rules.attempts) return 0;
        deadline = timeIn(s.proposeWindow());
        f.state = s.retrying(deadline, missed);
    }

    // ---------------------------------------------------------------- the lineage

    /// @notice The newest accepted result; zero before the first.
    function head(Federation storage f) internal view returns (bytes32) {
        return f.accepted[f.headHeight];
    }

    /// @notice Whether a result can no longer settle: it, or one that it builds on, was rejected, or its round became void.
    function isDead(Federation storage f, bytes32 digest, Proposed storage result) internal view returns (bool) {
        Status status = result.status;
        if (status == Status.Standing) return f.standing != digest;
        if (status == Status.Accepted) return f.accepted[result.height] != digest || result.height > f.headHeight;
        return status == Status.Rejected || status == Status.Void;
    }

    /// @notice The lineage's result of a height, as it was for the results of a round above it.
    /// @dev From the newest replacement back: a result that has not fallen finds none in its way.
    function ancestor(Federation storage f, uint32 round, uint32 height) internal view returns (bytes32 digest) {
        Replaced[] storage replaced = f.replaced[height];
        digest = f.accepted[height];
        for (uint256 n = replaced.length; n != 0 && replaced[n - 1].until >= round; --n) {
            digest = replaced[n - 1].digest;
        }
    }

    /// @notice Training results up to this height: the statistics result is not one.
    function trained(Federation storage f, uint32 height) internal view returns (uint256) {
        return f.terms.statistics != 0 && height != 0 ? height - 1 : height;
    }

    /// @notice Whether a reward period ends at this height while the federation goes on.
    function endsPeriod(Federation storage f, uint32 height) internal view returns (bool) {
        uint256 results = trained(f, height);
        uint256 period = f.terms.rewardPeriod;
        return results != 0 && period != 0 && results % period == 0;
    }

    /// @notice Height of the result that ended the reward period before the one that a height is in; 0 if there is none.
    function periodBefore(Federation storage f, uint32 height) internal view returns (uint32) {
        uint256 period = f.terms.rewardPeriod;
        if (period == 0 || height == 0) return 0;
        uint256 results = trained(f, height - 1) / period * period;
        if (results == 0) return 0;
        return uint32(f.terms.statistics != 0 ? results + 1 : results);
    }

    // ---------------------------------------------------------------- money

    /// @notice Require that a transaction brings the ether that is due.
    function checkValue(uint256 due) internal view {
        if (msg.value != due) revert IFederations.WrongValue(due, msg.value);
    }

    /// @notice Hold all stakes for one answer window, in which proofs against what has just fallen may still be opened.
    function hold(Federation storage f) internal returns (uint40 until) {
        until = timeIn(f.rules.answerWindow);
        f.heldUntil = until;
    }

    /// @notice Owe an account ether, and the pool's currency.
    function credit(Federation storage f, address account, uint256 amount, uint256 fees) internal {
        if (amount | fees == 0) return;
        Credit storage owed = f.credits[account];
        owed.wei_ += uint128(amount);
        owed.fees += uint128(fees);
    }

    /// @notice Destroy ether.
    function burn(uint256 amount) internal {
        if (amount == 0) return;
        // The address has no code, so nothing can go wrong or come back.
        (bool sent,) = BURNED.call{value: amount}("");
        assert(sent);
    }

    function timeIn(uint256 window) internal view returns (uint40) {
        unchecked {
            return uint40(block.timestamp + window);
        }
    }
}
