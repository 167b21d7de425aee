// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFederations, Status} from "../interfaces/IFederations.sol";
import {RoundState} from "../types/RoundState.sol";
import {Challenge, Federation, Participant, Proposed, TURN_MISSED, Waiting} from "../types/State.sol";
import {Case, Question, Target} from "../verifier/Types.sol";
import {Verifier} from "../verifier/Verifier.sol";
import {Committee} from "./Committee.sol";
import {Facts} from "./Facts.sol";
import {Rounds} from "./Rounds.sol";

/// @notice Challenges to results, and what follows from them. What a proof shows is the `Verifier`'s to say.
/// @dev Runs in the core's storage. See `IFederations` for what each function does.
library Disputes {
    using Rounds for Federation;

    /// @dev Steps that one bond buys: enough to walk down from a header to a leaf of the largest tree.
    uint8 private constant MOST_STEPS = 8;
    /// @dev `ResultDisproved` names a proof by its kind, which is never zero.
    uint8 private constant UNANSWERED = 0;

    // ---------------------------------------------------------------- opening

    function commitProof(Federation storage f, bytes32 id, bytes32 digest, bytes32 commitment) external {
        uint32 index = _open(f, digest);
        _expectProof(f, id, digest, index, commitment);
    }

    function demand(Federation storage f, bytes32 id, bytes32 digest, bytes calldata evidence) external {
        uint32 index = _open(f, digest);
        _expectAnswer(f, id, digest, index, evidence);
    }

    function recommitProof(Federation storage f, bytes32 id, bytes32 digest, uint32 index, bytes32 commitment)
        external
    {
        _goOn(f, digest, index);
        _expectProof(f, id, digest, index, commitment);
    }

    function redemand(Federation storage f, bytes32 id, bytes32 digest, uint32 index, bytes calldata evidence)
        external
    {
        _goOn(f, digest, index);
        _expectAnswer(f, id, digest, index, evidence);
    }

    // ---------------------------------------------------------------- answering and proving

    function answer(
        Federation storage f,
        bytes32 id,
        bytes32 digest,
        uint32 index,
        Target calldata target,
        bytes calldata data
    ) external {
        Proposed storage result = f.results[digest];
        Challenge storage c = _waiting(f, digest, index, Waiting.Answer);
        if (c.claim != keccak256(abi.encode(target)) || !Verifier.opens(f.terms.sealed_, target, data)) {
            revert IFederations.AnswerRefused();
        }
        c.waiting = Waiting.Challenger;
        c.answerer = msg.sender;
        _restart(f, result, c, index);
        emit IFederations.Evidence(digest, data);
        f.record(
            id, IFederations.DemandAnswered.selector, abi.encode(digest, result.attempt, index, msg.sender)
        );
    }

    function openProof(
        Federation storage f,
        bytes32 id,
        bytes32 digest,
        uint32 index,
        bytes calldata proof,
        bytes32 salt
    ) external {
        Challenge storage c = _waiting(f, digest, index, Waiting.Proof);
        if (c.challenger != msg.sender) revert IFederations.NotChallenger(c.challenger);
        bytes32 commitment = keccak256(abi.encode(msg.sender, keccak256(proof), salt));
        if (commitment != c.claim || block.number <= c.since) revert IFederations.CommitmentMismatch();
        Question memory question = Verifier.check(f.terms, _case(f, id, digest), proof);
        if (!Facts.show(f, digest, question)) revert IFederations.NothingWrong();
        _disprove(f, id, digest, index, uint8(proof[0]));
    }

    // ---------------------------------------------------------------- running out

    function expire(Federation storage f, bytes32 id, bytes32 digest) external {
        Proposed storage result = f.results[digest];
        uint32 index = result.first;
        if (index == result.next || f.isDead(digest, result)) revert IFederations.ChallengeNotOpen(index);
        Challenge storage c = _challenge(f, digest, result.attempt, index);
        if (block.timestamp < c.deadline) revert IFederations.ChallengeNotOpen(index);
        if (c.waiting == Waiting.Answer) {
            _disprove(f, id, digest, index, UNANSWERED);
            return;
        }
        bool unopened = c.waiting == Waiting.Proof;
        c.waiting = Waiting.Nobody;
        uint256 bond = f.rules.challengeBond;
        address winner = unopened || c.answerer == address(0) ? result.proposer : c.answerer;
        f.credit(winner, bond / 2, 0);
        _next(f, digest, result);
        f.record(id, IFederations.ChallengeFailed.selector, abi.encode(digest, result.attempt, index));
        Rounds.burn(bond - bond / 2);
    }

    function reclaim(Federation storage f, bytes32 id, bytes32 digest, uint8 attempt, uint32 index) external {
        Proposed storage result = f.results[digest];
        Challenge storage c = _challenge(f, digest, attempt, index);
        bool dead = result.attempt != attempt || f.isDead(digest, result);
        if (c.waiting == Waiting.Nobody || !dead) revert IFederations.ChallengeNotOpen(index);
        c.waiting = Waiting.Nobody;
        f.credit(c.challenger, f.rules.challengeBond, 0);
        f.record(id, IFederations.ChallengeReclaimed.selector, abi.encode(digest, attempt, index));
    }

    function releaseBond(Federation storage f, bytes32 id, bytes32 digest) external {
        Proposed storage result = f.results[digest];
        Status status = result.status;
        bool held = status == Status.Standing || status == Status.Accepted;
        if (!held || !f.isDead(digest, result)) revert IFederations.NothingToWithdraw(result.proposer);
        result.status = Status.Void;
        f.credit(result.proposer, f.rules.proposerBond, 0);
        f.record(id, IFederations.BondReleased.selector, abi.encode(digest, result.proposer));
    }

    function chargeUnavailable(Federation storage f, bytes32 id, bytes32 digest, bytes calldata evidence) external {
        Proposed storage result = f.results[digest];
        if (result.status != Status.Settled) revert IFederations.NothingToCharge();
        uint32 index = Verifier.unavailable(_case(f, id, digest), evidence);
        Participant storage p = f.participant(index);
        uint256 key = uint256(result.round) << 32 | index;
        uint96 fee = f.rules.unavailableFee;
        if (fee > p.stake) fee = p.stake;
        if (fee == 0 || f.charged[key]) revert IFederations.NothingToCharge();
        f.charged[key] = true;
        p.stake -= fee;
        // A seat that nothing can be charged for any more would withhold for free.
        if (p.stake < f.rules.unavailableFee && p.leftAt == 0) f.unseat(p);
        f.record(id, IFederations.UnavailableCharged.selector, abi.encode(index, result.round, fee));
        Rounds.burn(fee);
    }

    // ---------------------------------------------------------------- what a disproved result costs

    /// @dev The challenger gets its bond back and half of what is slashed; the other half is burned, so that nobody gains by
    /// disproving itself.
    function _disprove(Federation storage f, bytes32 id, bytes32 digest, uint32 index, uint8 kind) private {
        Proposed storage result = f.results[digest];
        Challenge storage c = _challenge(f, digest, result.attempt, index);
        c.waiting = Waiting.Nobody;
        uint256 slashed = f.rules.proposerBond;
        uint256 reward = slashed / 2;
        if (kind != UNANSWERED) {
            (uint256 stakes, uint256 shares) = _slashVoters(f, result);
            slashed += stakes;
            reward += shares;
        }
        f.credit(c.challenger, f.rules.challengeBond + reward, 0);
        uint40 deadline = _fallBack(f, result);
        f.record(
            id,
            IFederations.ResultDisproved.selector,
            abi.encode(result.round, result.attempt, digest, index, kind, deadline)
        );
        if (deadline == 0) f.voidRound(id);
        Rounds.burn(slashed - reward);
    }

    /// @dev Who voted for what can be proved wrong loses stake and seat, at once.
    function _slashVoters(Federation storage f, Proposed storage result)
        private
        returns (uint256 stakes, uint256 shares)
    {
        uint256 size = f.rules.committeeSize;
        uint256 seed = result.seed;
        uint256 candidates = result.candidates;
        uint256 votes = uint128(result.ballots);
        uint32 until = f.nextRound();
        (uint16 active, uint32 weights) = (f.active, f.weights);
        for (uint256 place; votes != 0; (++place, votes >>= 1)) {
            if (votes & 1 == 0) continue;
            Participant storage p = f.participants[Committee.member(seed, place, candidates, size)];
            if (p.slashed) continue;
            uint256 stake = p.stake;
            stakes += stake;
            shares += stake / 2;
            (p.stake, p.slashed) = (0, true);
            if (p.leftAt != 0) continue;
            --active;
            weights -= p.weight;
            (p.leftAt, p.until) = (uint40(block.timestamp), until);
        }
        (f.active, f.weights) = (active, weights);
        f.state = f.state.scar();
    }

    /// @dev Take the lineage back to the result's parent, and its round back to proposing. 0 if no attempt is left.
    function _fallBack(Federation storage f, Proposed storage result) private returns (uint40) {
        RoundState s = f.state;
        if (result.status == Status.Accepted) {
            bool missed = result.marks & TURN_MISSED != 0;
            s = s.restored(result.round, result.attempt, result.known, result.commits, result.batched, missed);
            f.state = s;
            (f.seed, f.candidates) = (result.seed, result.candidates);
            f.headHeight = result.height - 1;
            f.lastAccepted = uint40(block.timestamp);
        }
        result.status = Status.Rejected;
        f.standing = 0;
        return f.retry(s, false);
    }

    // ---------------------------------------------------------------- the queue

    /// @dev Take in a challenge to a result that stands, or was accepted and is not settled, behind those that are open.
    function _open(Federation storage f, bytes32 digest) private returns (uint32 index) {
        Proposed storage result = f.results[digest];
        Status status = result.status;
        if (
            status != Status.Standing && status != Status.Accepted || f.isDead(digest, result)
                || block.timestamp >= result.challengeDeadline
        ) revert IFederations.NotChallengeable(digest);
        index = result.next++;
        Challenge storage c = _challenge(f, digest, result.attempt, index);
        c.challenger = msg.sender;
        if (index == result.first) c.deadline = Rounds.timeIn(f.rules.answerWindow);
    }

    /// @dev The challenger takes its next step after an answer.
    function _goOn(Federation storage f, bytes32 digest, uint32 index) private {
        Challenge storage c = _waiting(f, digest, index, Waiting.Challenger);
        if (c.challenger != msg.sender) revert IFederations.NotChallenger(c.challenger);
        if (++c.steps == MOST_STEPS) revert IFederations.TooManySteps();
        _restart(f, f.results[digest], c, index);
    }

    function _expectProof(Federation storage f, bytes32 id, bytes32 digest, uint32 index, bytes32 commitment)
        private
    {
        uint8 attempt = f.results[digest].attempt;
        Challenge storage c = _challenge(f, digest, attempt, index);
        c.waiting = Waiting.Proof;
        c.since = uint40(block.number);
        c.claim = commitment;
        f.record(
            id, IFederations.ProofCommitted.selector, abi.encode(digest, attempt, index, msg.sender, commitment)
        );
    }

    function _expectAnswer(Federation storage f, bytes32 id, bytes32 digest, uint32 index, bytes calldata evidence)
        private
    {
        Target memory t = Verifier.target(f.terms, _case(f, id, digest), evidence);
        uint8 attempt = f.results[digest].attempt;
        Challenge storage c = _challenge(f, digest, attempt, index);
        c.waiting = Waiting.Answer;
        c.claim = keccak256(abi.encode(t));
        f.record(
            id,
            IFederations.DemandOpened.selector,
            abi.encode(digest, attempt, index, msg.sender, t.kind, t.root, t.total, t.size, t.level, t.position)
        );
    }

    /// @dev The first open challenge's clock runs; the others wait for their turn, so a proposer has each one's time.
    function _restart(Federation storage f, Proposed storage result, Challenge storage c, uint32 index) private {
        if (index == result.first) c.deadline = Rounds.timeIn(f.rules.answerWindow);
    }

    /// @dev The first open challenge is over: the next one's clock starts.
    function _next(Federation storage f, bytes32 digest, Proposed storage result) private {
        uint16 first = ++result.first;
        if (first == result.next) return;
        _challenge(f, digest, result.attempt, first).deadline = Rounds.timeIn(f.rules.answerWindow);
    }

    /// @dev A challenge of a result that is not dead, which waits for this, in time.
    function _waiting(Federation storage f, bytes32 digest, uint32 index, Waiting waiting)
        private
        view
        returns (Challenge storage c)
    {
        Proposed storage result = f.results[digest];
        c = _challenge(f, digest, result.attempt, index);
        bool late = c.deadline != 0 && block.timestamp >= c.deadline;
        if (c.waiting != waiting || late || f.isDead(digest, result)) revert IFederations.ChallengeNotOpen(index);
    }

    function _challenge(Federation storage f, bytes32 digest, uint8 attempt, uint32 index)
        private
        view
        returns (Challenge storage)
    {
        return f.challenges[digest][uint256(attempt) << 32 | index];
    }

    function _case(Federation storage f, bytes32 id, bytes32 digest) private view returns (Case memory) {
        Proposed storage result = f.results[digest];
        return Case({
            federation: id,
            result: digest,
            round: result.round,
            height: result.height,
            slots: uint32(result.commits) + result.batched,
            batched: result.batched,
            batchRoot: f.batches[result.round],
            known: result.known
        });
    }
}
