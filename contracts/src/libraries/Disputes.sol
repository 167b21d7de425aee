// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFederations, Status} from "../interfaces/IFederations.sol";
import {RoundState} from "../types/RoundState.sol";
import {
    Challenge,
    FEE_DUE,
    Federation,
    HELD,
    Participant,
    PROVEN,
    Proposed,
    Replaced,
    TURN_MISSED,
    Waiting
} from "../types/State.sol";
import {Case, Question, Target} from "../verifier/Types.sol";
import {Verifier} from "../verifier/Verifier.sol";
import {Committee} from "./Committee.sol";
import {Facts} from "./Facts.sol";
import {Rounds} from "./Rounds.sol";

/// @notice Rejections of results, challenges to them, and what follows. What a proof shows is the `Verifier`'s to say.
/// @dev Runs in the core's storage. See `IFederations` for what each function does.
library Disputes {
    using Rounds for Federation;

    /// @dev Steps that one bond buys: enough to walk down from a header to a leaf of the largest tree.
    uint8 private constant MOST_STEPS = 8;
    /// @dev `ResultDisproved` names a proof by its kind, which is never zero.
    uint8 private constant UNANSWERED = 0;
    /// @dev The part of a bond that is paid for one answer at most; all answers of a challenge together cost a quarter of it.
    uint256 private constant ANSWERS = 32;
    /// @dev The part of a bond that a concession burns.
    uint256 private constant CONCEDED = 8;

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
        uint256 begun = gasleft();
        Proposed storage result = f.results[digest];
        Challenge storage c = _waiting(f, digest, index, Waiting.Answer);
        if (c.claim != keccak256(abi.encode(target)) || !Verifier.opens(f.terms.sealed_, target, data)) {
            revert IFederations.AnswerRefused();
        }
        c.waiting = Waiting.Challenger;
        _restart(f, result, c, index);
        emit IFederations.Evidence(digest, data);
        f.record(
            id, IFederations.DemandAnswered.selector, abi.encode(digest, result.attempt, index, msg.sender)
        );
        // What is paid for an answer must not exceed what it cost, or colluders would earn by answering. One transaction may give many
        // answers, so what it costs by itself does not count: only what was spent on this one.
        uint256 cost = (begun - gasleft()) * block.basefee;
        uint256 most = f.rules.challengeBond / ANSWERS;
        (c.answerer, c.owed) = (msg.sender, uint96((c.answerer == msg.sender ? c.owed : 0) + (cost < most ? cost : most)));
    }

    function openProof(
        Federation storage f,
        bytes32 id,
        bytes32 digest,
        uint8 attempt,
        uint32 index,
        bytes calldata proof,
        bytes32 salt
    ) external {
        Proposed storage result = _attempt(f, digest, attempt);
        Challenge storage c = _challenge(f, digest, attempt, index);
        bool fallen = _isFallen(f, digest, attempt);
        uint40 deadline = fallen ? _answerableUntil(f, result) : c.deadline;
        bool late = deadline != 0 && block.timestamp >= deadline || result.marks & PROVEN != 0;
        if (c.waiting != Waiting.Proof || late) revert IFederations.ChallengeNotOpen(index);
        if (c.challenger != msg.sender) revert IFederations.NotChallenger(c.challenger);
        bytes32 commitment = keccak256(abi.encode(msg.sender, keccak256(proof), salt));
        if (commitment != c.claim || block.number <= c.since) revert IFederations.CommitmentMismatch();
        Question memory question = Verifier.check(f.terms, _case(f, id, digest, result), proof);
        if (!Facts.show(f, digest, question)) revert IFederations.NothingWrong();
        --result.proofs;
        result.marks |= PROVEN;
        if (fallen) _charge(f, id, digest, index, result, uint8(proof[0]));
        else _disprove(f, id, digest, index, uint8(proof[0]));
    }

    function concede(Federation storage f, bytes32 id, bytes32 digest, uint32 index) external {
        Proposed storage result = f.results[digest];
        Challenge storage c = _waiting(f, digest, index, Waiting.Challenger);
        if (c.challenger != msg.sender) revert IFederations.NotChallenger(c.challenger);
        c.waiting = Waiting.Nobody;
        uint256 bond = f.rules.challengeBond;
        (uint256 burned, uint256 fee) = (bond / CONCEDED, c.owed);
        f.credit(c.answerer, fee, 0);
        f.credit(msg.sender, bond - burned - fee, 0);
        if (index == result.first) _next(f, digest, result);
        else _passOver(f, digest, result, index);
        f.record(
            id, IFederations.ChallengeConceded.selector, abi.encode(digest, result.attempt, index, fee)
        );
        Rounds.burn(burned);
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
        if (unopened) --result.proofs;
        c.waiting = Waiting.Nobody;
        uint256 bond = f.rules.challengeBond;
        address winner = unopened || c.answerer == address(0) ? result.proposer : c.answerer;
        f.credit(winner, bond / 2, 0);
        _next(f, digest, result);
        f.record(id, IFederations.ChallengeFailed.selector, abi.encode(digest, result.attempt, index));
        Rounds.burn(bond - bond / 2);
    }

    function reclaim(Federation storage f, bytes32 id, bytes32 digest, uint8 attempt, uint32 index) external {
        Proposed storage result = _attempt(f, digest, attempt);
        Challenge storage c = _challenge(f, digest, attempt, index);
        Waiting waiting = c.waiting;
        if (waiting == Waiting.Nobody || !_isFallen(f, digest, attempt)) revert IFederations.ChallengeNotOpen(index);
        c.waiting = Waiting.Nobody;
        uint256 bond = f.rules.challengeBond;
        bool lost;
        if (waiting == Waiting.Proof) {
            --result.proofs;
            lost = result.marks & PROVEN == 0;
            if (lost) _checkTime(_answerableUntil(f, result));
        }
        f.credit(lost ? result.proposer : c.challenger, lost ? bond / 2 : bond, 0);
        bytes32 topic = lost ? IFederations.ChallengeFailed.selector : IFederations.ChallengeReclaimed.selector;
        f.record(id, topic, abi.encode(digest, attempt, index));
        if (lost) Rounds.burn(bond - bond / 2);
    }

    function releaseBond(Federation storage f, bytes32 id, bytes32 digest, uint8 attempt) external {
        Proposed storage result = _attempt(f, digest, attempt);
        (address proposer, uint8 marks) = (result.proposer, result.marks);
        if (!_holdsBond(f, digest, result)) revert IFederations.NothingToWithdraw(proposer);
        if (result.proofs != 0 || marks & HELD != 0) _checkTime(_answerableUntil(f, result));
        if (marks & HELD == 0) result.status = Status.Void;
        else result.marks = marks ^ HELD;
        uint256 fee = marks & FEE_DUE != 0 ? f.rules.rejectionFee : 0;
        f.credit(proposer, f.rules.proposerBond - fee, 0);
        f.record(id, IFederations.BondReleased.selector, abi.encode(digest, attempt, proposer));
        Rounds.burn(fee);
    }

    function _checkTime(uint40 from) private view {
        if (block.timestamp < from) revert IFederations.TooEarly(from);
    }

    function chargeUnavailable(Federation storage f, bytes32 id, bytes32 digest, bytes calldata evidence) external {
        Proposed storage result = f.results[digest];
        if (result.status != Status.Settled) revert IFederations.NothingToCharge();
        uint32 index = Verifier.unavailable(_case(f, id, digest, result), evidence);
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

    // ---------------------------------------------------------------- rejecting

    /// @dev By votes: the proposer pays a fixed fee, and never more, for what others think of its result; and nothing for their
    /// silence. Its bond stays while a proof may still show that it owes more.
    function reject(Federation storage f, bytes32 id, bytes32 digest) external {
        RoundState s = f.state;
        Proposed storage result = f.results[digest];
        result.status = Status.Rejected;
        (uint256 votesFor, uint256 votesAgainst) = Committee.count(result.ballots);
        (uint256 votes, uint256 seats) = (votesFor + votesAgainst, s.seats());
        bool silent = 2 * votes < seats;
        // A committee that does not vote, or whose seats are mostly empty, must not hold up the rounds to come.
        if (silent || 2 * seats < f.rules.committeeSize) f.state = s = s.redrawing();
        uint40 deadline = f.retry(s, false);
        f.record(id, IFederations.ResultRejected.selector, abi.encode(s.round(), s.attempt(), digest, deadline));
        uint256 fee = !silent && votesAgainst > votesFor ? f.rules.rejectionFee : 0;
        if (result.first != result.next && result.proofs != 0) {
            result.challengeDeadline = f.hold();
            result.marks |= fee != 0 ? HELD | FEE_DUE : HELD;
            fee = 0;
        } else {
            f.credit(result.proposer, f.rules.proposerBond - fee, 0);
        }
        if (deadline == 0) f.voidRound(id);
        Rounds.burn(fee);
    }

    /// @dev A header is proposed again: what proofs need of its attempt before, and its bond if that is held, must not be lost.
    function setAside(Federation storage f, bytes32 digest) external {
        Proposed storage result = f.results[digest];
        if (result.proofs != 0 || result.marks & HELD != 0) f.earlier[digest][result.attempt] = result;
        (result.ballots, result.proofs) = (0, 0);
    }

    /// @dev Another result takes the height of one that fell, on which others were built: they may still be proved wrong by what it says.
    function replace(Federation storage f, uint32 height, bytes32 digest) external {
        bytes32 before = f.accepted[height];
        if (before != digest) f.replaced[height].push(Replaced(before, f.lastRound));
    }

    // ---------------------------------------------------------------- what a disproved result costs

    function _disprove(Federation storage f, bytes32 id, bytes32 digest, uint32 index, uint8 kind) private {
        Proposed storage result = f.results[digest];
        uint256 burned = _slash(f, digest, index, result, f.rules.proposerBond);
        if (kind == UNANSWERED && result.proofs != 0) result.challengeDeadline = f.hold();
        uint40 deadline = _fallBack(f, result);
        f.record(
            id,
            IFederations.ResultDisproved.selector,
            abi.encode(result.round, result.attempt, digest, index, kind, deadline)
        );
        if (deadline == 0) f.voidRound(id);
        Rounds.burn(burned);
    }

    /// @dev A proof against what had fallen before: the lineage has gone on without it, its proposer and voters pay all the same.
    function _charge(
        Federation storage f,
        bytes32 id,
        bytes32 digest,
        uint32 index,
        Proposed storage result,
        uint8 kind
    ) private {
        uint256 burned = _slash(f, digest, index, result, _holdsBond(f, digest, result) ? f.rules.proposerBond : 0);
        result.status = Status.Rejected;
        result.marks &= ~HELD;
        f.record(id, IFederations.FallenDisproved.selector, abi.encode(digest, result.attempt, index, kind));
        Rounds.burn(burned);
    }

    /// @dev The challenger gets its bond back and half of what is slashed; the other half is burned, so that nobody gains by
    /// disproving itself.
    function _slash(Federation storage f, bytes32 digest, uint32 index, Proposed storage result, uint256 bond)
        private
        returns (uint256 burned)
    {
        Challenge storage c = _challenge(f, digest, result.attempt, index);
        c.waiting = Waiting.Nobody;
        uint256 reward = bond / 2;
        burned = bond - reward;
        if (result.marks & PROVEN != 0) {
            (uint256 stakes, uint256 shares) = _slashVoters(f, result);
            reward += shares;
            burned += stakes - shares;
        }
        f.credit(c.challenger, f.rules.challengeBond + reward, 0);
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
            // What was built on it falls too, and is not looked up here: proofs against that may still be open.
            f.hold();
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
        Rounds.checkValue(f.rules.challengeBond);
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
        ++f.results[digest].proofs;
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
        Target memory t = Verifier.target(f.terms, _case(f, id, digest, f.results[digest]), evidence);
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
        (uint32 first, uint32 end) = (uint32(result.first) + 1, result.next);
        if (first != end) {
            Challenge storage c = _challenge(f, digest, result.attempt, first);
            if (c.waiting == Waiting.Nobody) first = uint32(uint256(c.claim)) + 1;
        }
        result.first = uint16(first);
        if (first == end) return;
        _challenge(f, digest, result.attempt, first).deadline = Rounds.timeIn(f.rules.answerWindow);
    }

    /// @dev A challenge was conceded before its turn. Each end of a run of such challenges names the other, so the queue passes over a
    /// run in one step, however long it is.
    function _passOver(Federation storage f, bytes32 digest, Proposed storage result, uint32 index) private {
        uint8 attempt = result.attempt;
        (uint32 low, uint32 high) = (index, index);
        // The first one is open, so there is one before.
        Challenge storage c = _challenge(f, digest, attempt, index - 1);
        if (c.waiting == Waiting.Nobody) low = uint32(uint256(c.claim));
        c = _challenge(f, digest, attempt, index + 1);
        if (index + 1 != result.next && c.waiting == Waiting.Nobody) high = uint32(uint256(c.claim));
        _challenge(f, digest, attempt, low).claim = bytes32(uint256(high));
        _challenge(f, digest, attempt, high).claim = bytes32(uint256(low));
    }

    // ---------------------------------------------------------------- what fell

    /// @dev An attempt at a result: its newest, or one that was set aside.
    function _attempt(Federation storage f, bytes32 digest, uint8 attempt)
        private
        view
        returns (Proposed storage result)
    {
        result = f.results[digest];
        if (result.attempt != attempt) result = f.earlier[digest][attempt];
    }

    function _isFallen(Federation storage f, bytes32 digest, uint8 attempt) private view returns (bool) {
        Proposed storage newest = f.results[digest];
        return newest.attempt != attempt || f.isDead(digest, newest);
    }

    /// @dev Of an attempt that fell: by itself, or with what it was built on, which is not written down with each.
    function _answerableUntil(Federation storage f, Proposed storage result) private view returns (uint40) {
        return result.status == Status.Rejected ? result.challengeDeadline : f.heldUntil;
    }

    /// @dev Whether the bond of an attempt that fell is still here.
    function _holdsBond(Federation storage f, bytes32 digest, Proposed storage result) private view returns (bool) {
        Status status = result.status;
        bool alone = status == Status.Rejected;
        return alone ? result.marks & HELD != 0 : status != Status.Void && f.isDead(digest, result);
    }

    // ---------------------------------------------------------------- small things

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

    function _case(Federation storage f, bytes32 id, bytes32 digest, Proposed storage result)
        private
        view
        returns (Case memory)
    {
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
