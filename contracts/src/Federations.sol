// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";

import {PolicyHeader, ResultHeader, RESULT_TAG} from "./Headers.sol";
import {
    Application,
    Ballot,
    Claim,
    Dataset,
    FederationView,
    IFederations,
    ParticipantView,
    Phase,
    Result,
    Status
} from "./interfaces/IFederations.sol";
import {Committee} from "./libraries/Committee.sol";
import {Disputes} from "./libraries/Disputes.sol";
import {Funds} from "./libraries/Funds.sol";
import {Members} from "./libraries/Members.sol";
import {MerkleSum} from "./libraries/MerkleSum.sol";
import {Money} from "./libraries/Money.sol";
import {Policies} from "./libraries/Policies.sol";
import {Rounds} from "./libraries/Rounds.sol";
import {RoundState} from "./types/RoundState.sol";
import {Seat} from "./types/Seat.sol";
import {
    Credit,
    Federation,
    HELD,
    PROVEN,
    Participant,
    Proposed,
    Rules,
    STOPS,
    TURN_MISSED
} from "./types/State.sol";
import {Target, Terms} from "./verifier/Types.sol";

/// @title Federations
/// @notice The rounds, results and money of federations that learn together.
/// @dev See `IFederations` for what each function does and for the warnings. What is about members, disputes and fees runs, in this
/// contract's storage, in libraries that are deployed beside it.
contract Federations is IFederations, EIP712, ReentrancyGuardTransient {
    using Rounds for Federation;
    using Rounds for Participant;

    /// @dev Results settled in one call of `advance`.
    uint256 private constant MOST_SETTLED = 16;
    /// @dev Sums of int32 coordinates with weights below this fit int64.
    uint256 private constant WEIGHT_LIMIT = 1 << 31;
    /// @dev A turn passes over so many who have left; behind them it is anybody's.
    uint256 private constant MOST_PASSED_OVER = 16;
    /// @dev So many blocks' hashes can be had.
    uint256 private constant SEED_BLOCKS = 256;
    uint256 private constant RESULT_SIZE = 18 * 32;
    bytes32 private constant PROPOSAL_TYPEHASH =
        keccak256("Proposal(bytes32 federation,uint32 round,uint8 attempt,bytes32 result,bytes32 index)");
    bytes32 private constant VOTE_TYPEHASH =
        keccak256("Vote(bytes32 federation,uint32 round,uint8 attempt,bytes32 result,bool support)");

    mapping(bytes32 id => Federation) private _federations;

    constructor() EIP712("FedNode Federations", "1") {}

    // ---------------------------------------------------------------- creation

    /// @inheritdoc IFederations
    function createFederation(PolicyHeader calldata policy, bytes32 salt, bytes calldata ancestor)
        external
        payable
        nonReentrant
        returns (bytes32 id)
    {
        id = Policies.found(_federations, policy, salt, ancestor);
        (address token, uint256 pool) = (policy.token, policy.pool);
        if (token != address(0) && pool != 0) Funds.pull(token, pool);
    }

    // ---------------------------------------------------------------- participants

    /// @inheritdoc IFederations
    function join(bytes32 id, Application calldata application, bytes calldata invitation, bytes calldata consent)
        external
        payable
    {
        Members.join(_running(id), id, _domainSeparatorV4(), application, invitation, consent);
    }

    /// @inheritdoc IFederations
    function leave(bytes32 id, uint32 participant) external {
        Members.leave(_running(id), id, participant);
    }

    /// @inheritdoc IFederations
    function rotateSigner(bytes32 id, uint32 participant, address signer) external {
        Members.rotateSigner(_running(id), id, participant, signer);
    }

    /// @inheritdoc IFederations
    function registerKey(bytes32 id, uint32 participant, bytes32 key) external {
        Members.registerKey(_running(id), id, participant, key);
    }

    /// @inheritdoc IFederations
    function commitDataset(
        bytes32 id,
        uint32 participant,
        bytes32 root,
        uint32 rows,
        uint64 expires,
        bytes calldata invitation
    ) external {
        Members.commitDataset(_running(id), id, _domainSeparatorV4(), participant, root, rows, expires, invitation);
    }

    /// @inheritdoc IFederations
    function amendDataset(bytes32 id, uint32 participant, bytes32 root, uint32 rows, bytes32 erasure) external {
        Members.amendDataset(_existing(id), id, participant, root, rows, erasure);
    }

    /// @inheritdoc IFederations
    function withdrawStake(bytes32 id, uint32 participant) external nonReentrant {
        Members.withdrawStake(_existing(id), id, participant);
    }

    // ---------------------------------------------------------------- commits

    /// @inheritdoc IFederations
    function commitUpdate(bytes32 id, uint32 round, bytes32 digest) external {
        Federation storage f = _federations[id];
        RoundState s = f.state;
        _checkPhase(id, s, Phase.Commit, round);
        Seat seat = f.seats[msg.sender];
        if (!f.mayAct(s, seat, round)) revert NotSeated(msg.sender, round);
        uint32 participant = seat.participant();
        uint256 key = _commitKey(round, participant);
        if (f.commits[key] != 0) revert AlreadyCommitted(participant, round);

        if (s.seedless()) s = _drawSeed(f, id, s);
        uint32 order = s.commits();
        f.commits[key] = keccak256(abi.encode(digest, order));
        s = s.withCommit();
        f.record(id, UpdateCommitted.selector, abi.encode(round, order, participant, digest));
        if (s.commits() == s.seats() && s.commits() >= s.leastUpdates()) s = _closeCommit(f, id, s);
        f.state = s;
    }

    /// @inheritdoc IFederations
    function postBatch(bytes32 id, uint32 round, bytes32 root, uint32 leaves, bytes32 index) external {
        Federation storage f = _federations[id];
        RoundState s = f.state;
        _checkPhase(id, s, Phase.Commit, round);
        Rules storage rules = f.rules;
        if (msg.sender != rules.relay) revert NotRelay(rules.relay);
        uint40 deadline = s.deadline() - (rules.commitWindow - rules.batchWindow);
        if (block.timestamp >= deadline) revert DeadlinePassed(deadline);
        if (s.batched() != 0 || leaves == 0 || leaves > s.known()) revert BatchRefused();

        if (s.seedless()) s = _drawSeed(f, id, s);
        f.batches[round] = root;
        f.state = s.withBatch(leaves);
        f.record(id, BatchPosted.selector, abi.encode(round, root, leaves, index));
    }

    /// @dev Store the hash of the block that opened the round, which nobody knew when its participants were registered.
    function _drawSeed(Federation storage f, bytes32 id, RoundState s) private returns (RoundState) {
        bytes32 drawn = blockhash(f.openedBlock);
        if (drawn == 0) revert NoSeed(f.openedBlock);
        uint32 seed = uint32(uint256(drawn));
        f.seed = seed;
        f.record(id, SeedDrawn.selector, abi.encode(s.round(), seed));
        return s.seeded();
    }

    /// @inheritdoc IFederations
    function openSlice(bytes32 id, uint32 round, bytes32 digest) external {
        Federation storage f = _federations[id];
        RoundState s = f.state;
        _checkPhase(id, s, Phase.Propose, round);
        uint40 deadline = _revealDeadline(s);
        if (block.timestamp >= deadline) revert DeadlinePassed(deadline);
        f.record(id, SliceOpened.selector, abi.encode(round, msg.sender, digest));
    }

    /// @dev Of a round that waits for a proposal; zero in a later attempt, by which it has passed.
    function _revealDeadline(RoundState s) private pure returns (uint40) {
        return s.attempt() == 0 ? s.deadline() - s.proposeWindow() : 0;
    }

    // ---------------------------------------------------------------- results

    /// @inheritdoc IFederations
    function proposeResult(bytes32 id, ResultHeader calldata header, bytes32 index, bytes calldata signature)
        external
        payable
    {
        Federation storage f = _federations[id];
        RoundState s = f.state;
        _checkPhase(id, s, Phase.Propose, header.common.round);
        Rounds.checkValue(f.rules.proposerBond);
        if (f.terms.evaluation == Policies.SLICES && block.timestamp < _revealDeadline(s)) {
            revert TooEarly(_revealDeadline(s));
        }
        bytes32 digest = sha256(msg.data[36:36 + RESULT_SIZE]);
        address signer = _proposalSigner(id, s, digest, index, signature);
        _checkTurn(f, s, signer);
        bytes32 refusal = _judge(f, id, s, header);
        if (refusal != 0) revert HeaderRefused(refusal);

        uint40 attestDeadline = Rounds.timeIn(f.rules.attestWindow);
        uint40 challengeDeadline = Rounds.timeIn(f.rules.challengeWindow);
        (uint256 seats, uint256 places) = _seatCommittee(f, s);
        f.state = s.attesting(attestDeadline, seats, places);
        f.standing = digest;
        Proposed storage result = f.results[digest];
        if (result.status != Status.None) Disputes.setAside(f, digest);
        result.payouts = header.payouts;
        result.payoutTotal = uint96(header.payoutTotal);
        result.height = f.headHeight + 1;
        result.known = uint16(s.known());
        result.commits = uint16(s.commits());
        result.batched = uint16(s.batched());
        result.first = 0;
        result.next = 0;
        (result.seed, result.candidates) = (f.seed, f.candidates);
        result.proposer = msg.sender;
        result.round = s.round();
        result.challengeDeadline = challengeDeadline;
        result.attempt = s.attempt();
        result.status = Status.Standing;
        result.marks = (header.stop ? STOPS : 0) | (s.turnMissed() ? TURN_MISSED : 0);
        emit Evidence(digest, msg.data[36:36 + RESULT_SIZE]);
        f.record(
            id,
            ResultProposed.selector,
            abi.encode(
                s.round(), s.attempt(), msg.sender, signer, digest, index, attestDeadline, challengeDeadline
            )
        );
    }

    function _proposalSigner(bytes32 id, RoundState s, bytes32 digest, bytes32 index, bytes calldata signature)
        private
        view
        returns (address)
    {
        if (signature.length == 0) return msg.sender;
        return ECDSA.recover(
            _hashTypedDataV4(keccak256(abi.encode(PROPOSAL_TYPEHASH, id, s.round(), s.attempt(), digest, index))),
            signature
        );
    }

    function _checkTurn(Federation storage f, RoundState s, address signer) private view {
        if (s.turnMissed()) return;
        uint32 round = s.round();
        uint256 known = s.known();
        uint256 passed;
        uint32 turn;
        do {
            if (passed == known || passed == MOST_PASSED_OVER) return;
            turn = uint32((uint256(round) + s.attempt() + passed++) % known);
        } while (!f.participants[turn].inGoodStanding(round));
        Seat seat = f.seats[signer];
        if (!seat.activeIn(round) || seat.participant() != turn) revert NotInTurn(turn);
    }

    /// @dev Why the header does not follow from the federation's state: a field's name, or zero if it does. What only its bytes
    /// can show is left to votes and proofs.
    function _judge(Federation storage f, bytes32 id, RoundState s, ResultHeader calldata header)
        private
        view
        returns (bytes32 refusal)
    {
        if (
            header.common.tag != RESULT_TAG || header.common.chainId != block.chainid
                || header.common.ledger != address(this) || header.common.federation != id
        ) return "common";
        if (header.common.parent != f.head()) return "parent";
        uint256 number = header.number;
        uint256 weight = header.weight;
        if (number > s.commits() + s.batched()) return "number";
        if (weight >= WEIGHT_LIMIT || number < s.leastUpdates() && weight != 0) return "weight";
        uint32 height = f.headHeight + 1;
        bool training = f.trained(height) != 0;
        if (header.stop && !training) return "stop";
        // Read in any case, as every narrow field is: else two headers could say the same, and no proof could decode one of them.
        int64 gain = header.gain;
        uint256 base = f.results[f.accepted[f.periodBefore(height)]].payoutTotal;
        uint256 released = training && header.scores != 0 ? _releasedDown(f.terms, base, gain) : 0;
        if (header.payoutTotal != base + released) return "payoutTotal";
    }

    /// @dev min(purse - base, purse * gain / target), rounded down; nothing for no gain.
    function _releasedDown(Terms storage terms, uint256 base, int64 gain) private view returns (uint256) {
        uint256 purse = terms.purse;
        if (gain <= 0 || purse == 0) return 0;
        uint256 earned = purse * uint64(gain) / terms.target;
        return earned < purse - base ? earned : purse - base;
    }

    /// @dev The seats of a committee, and how many places surely have one. A draw passes over who has left, and the next place moves
    /// up. In a first attempt the seats follow from how many are still there, unless so many have left that there may be too few
    /// places, so nobody is looked up: who has moved up shows it with its vote. In a later attempt, which may come after a
    /// slashing, everybody drawn is looked up.
    function _seatCommittee(Federation storage f, RoundState s) private view returns (uint256 seats, uint256 places) {
        uint256 candidates = f.candidates;
        uint256 size = f.rules.committeeSize;
        uint32 round = s.round();
        if (s.attempt() == 0 && !s.thinned()) {
            (uint256 active, uint256 known) = (s.seats(), s.known());
            if (active <= size && candidates == known && known <= Committee.MOST_PLACES) return (active, known);
            // Of fewer candidates than are known, at most as many have left as of all.
            uint256 left = known - active;
            if (candidates >= size + left && Committee.fills(size, left, candidates)) return (size, size);
        }
        uint256 seed = f.seed;
        unchecked {
            while (seats < size && places < candidates && places < Committee.MOST_PLACES) {
                uint256 member = Committee.member(seed, places++, candidates, size);
                if (f.participants[member].inGoodStanding(round)) ++seats;
            }
        }
    }

    // ---------------------------------------------------------------- votes

    /// @inheritdoc IFederations
    function vote(bytes32 id, uint32 round, uint8 attempt, bytes32 result, uint128 vacant, bool support) external {
        Federation storage f = _federations[id];
        RoundState s = _checkVote(f, id, round, attempt, result, vacant);
        (uint32 participant, uint256 place) = _place(f, s, msg.sender, f.rules.committeeSize, _draw(f), vacant);
        if (f.results[result].ballots & Committee.ballots(place) != 0) {
            revert AlreadyVoted(participant, round, attempt);
        }
        _count(f, id, s, result, Committee.ballot(place, support));
    }

    /// @inheritdoc IFederations
    function postVotes(
        bytes32 id,
        uint32 round,
        uint8 attempt,
        bytes32 result,
        uint128 vacant,
        Ballot[] calldata ballots
    ) external {
        Federation storage f = _federations[id];
        RoundState s = _checkVote(f, id, round, attempt, result, vacant);
        bytes32 inFavour = _voteDigest(id, round, attempt, result, true);
        bytes32 opposed = _voteDigest(id, round, attempt, result, false);
        uint256 size = f.rules.committeeSize;
        uint256 draw = _draw(f);
        uint256 cast = f.results[result].ballots;
        uint256 fresh;
        for (uint256 i; i < ballots.length; ++i) {
            Ballot calldata ballot = ballots[i];
            bool support = ballot.support;
            address signer = ECDSA.recover(support ? inFavour : opposed, ballot.r, ballot.vs);
            (, uint256 place) = _place(f, s, signer, size, draw, vacant);
            // Who has voted by itself meanwhile must not be able to stop the others' votes.
            if ((cast | fresh) & Committee.ballots(place) == 0) fresh |= Committee.ballot(place, support);
        }
        if (fresh == 0) revert NothingToDo();
        _count(f, id, s, result, fresh);
    }

    function _voteDigest(bytes32 id, uint32 round, uint8 attempt, bytes32 result, bool support)
        private
        view
        returns (bytes32)
    {
        return _hashTypedDataV4(keccak256(abi.encode(VOTE_TYPEHASH, id, round, attempt, result, support)));
    }

    function _checkVote(
        Federation storage f,
        bytes32 id,
        uint32 round,
        uint8 attempt,
        bytes32 result,
        uint256 vacant
    ) private view returns (RoundState s) {
        s = f.state;
        _checkPhase(id, s, Phase.Attest, round);
        if (attempt != s.attempt()) revert WrongAttempt(s.attempt(), attempt);
        if (result != f.standing) revert WrongResult(f.standing, result);
        for (uint256 place; vacant != 0; (++place, vacant >>= 1)) {
            if (vacant & 1 == 0) continue;
            uint256 member = Committee.member(f.seed, place, f.candidates, f.rules.committeeSize);
            if (f.participants[member].inGoodStanding(round)) revert NotVacant(place);
        }
    }

    /// @dev Seed and number of candidates in one word, since every vote of many reads them.
    function _draw(Federation storage f) private view returns (uint256) {
        return uint256(f.candidates) << 32 | f.seed;
    }

    /// @dev The committee's place of a signer. One behind the first has a seat if enough of those before it are vacant.
    function _place(Federation storage f, RoundState s, address signer, uint256 size, uint256 draw, uint256 vacant)
        private
        view
        returns (uint32 participant, uint256 place)
    {
        uint32 round = s.round();
        Seat seat = f.seats[signer];
        participant = seat.participant();
        // A round that keeps a draw knows more than are drawn from.
        if (!f.mayAct(s, seat, round) || participant >= draw >> 32) revert NotSeated(signer, round);
        place = Committee.placeOf(uint32(draw), participant, draw >> 32, size);
        if (place >= s.places() && !Committee.movesUp(place, size, vacant)) revert NotSeated(signer, round);
    }

    function _count(Federation storage f, bytes32 id, RoundState s, bytes32 digest, uint256 fresh) private {
        Proposed storage result = f.results[digest];
        uint256 ballots = result.ballots | fresh;
        result.ballots = ballots;
        f.record(id, Voted.selector, abi.encode(s.round(), s.attempt(), digest, fresh));
        (uint256 votesFor, uint256 votesAgainst) = Committee.count(ballots);
        uint256 quorum = uint256(f.rules.quorumBps) * s.seats();
        if (votesFor * 10_000 >= quorum) _accept(f, id, digest);
        else if (votesAgainst * 10_000 >= quorum) Disputes.reject(f, id, digest);
    }

    // ---------------------------------------------------------------- moving on

    /// @inheritdoc IFederations
    function advance(bytes32 id) external {
        Federation storage f = _existing(id);
        bool moved = _passDeadline(f, id);
        bool settled = _settle(f, id);
        if (!moved && !settled) revert NothingToDo();
    }

    /// @inheritdoc IFederations
    function close(bytes32 id) external {
        Federation storage f = _running(id);
        RoundState s = f.state;
        uint40 until = f.lastAccepted + f.rules.idleWindow;
        // What is voted on is not closed away, nor what was voted for in time.
        bool stands = s.inPhase(Phase.Attest) && (block.timestamp < s.deadline() || _carried(f, s));
        if (block.timestamp < until || stands) revert NotIdle(until);

        if (!s.inPhase(Phase.Forming)) {
            if (s.inPhase(Phase.Attest) && f.results[f.standing].proofs != 0) f.hold();
            f.standing = 0;
            f.record(id, RoundVoided.selector, abi.encode(s.round()));
        }
        _end(f, id, true);
        uint32 height = f.headHeight;
        if (height != 0 && f.settledHeight == height && !f.endsPeriod(height)) _endPeriod(f, id, f.head());
    }

    /// @inheritdoc IFederations
    function checkpoint(bytes32 id) external {
        emit Checkpoint(id, _existing(id).h);
    }

    /// @dev Revert unless the federation is in this phase of this round, and in time.
    function _checkPhase(bytes32 id, RoundState s, Phase phase, uint32 round) private view {
        if (RoundState.unwrap(s) == 0) revert UnknownFederation(id);
        if (!s.inPhase(phase)) revert WrongPhase(phase, s.phase());
        if (s.round() != round) revert WrongRound(s.round(), round);
        if (block.timestamp >= s.deadline()) revert DeadlinePassed(s.deadline());
    }

    function _closeCommit(Federation storage f, bytes32 id, RoundState s) private returns (RoundState) {
        uint40 revealDeadline = Rounds.timeIn(s.revealWindow());
        uint40 proposeDeadline = Rounds.timeIn(uint256(s.revealWindow()) + s.proposeWindow());
        uint32 slots = s.commits() + s.batched();
        f.record(id, CommitClosed.selector, abi.encode(s.round(), slots, revealDeadline, proposeDeadline));
        return s.proposing(proposeDeadline);
    }

    /// @dev Leave the phase whose deadline has passed, if one has.
    function _passDeadline(Federation storage f, bytes32 id) private returns (bool) {
        RoundState s = f.state;
        if (s.inPhase(Phase.Forming) || s.inPhase(Phase.Ended)) return false;
        bool drawn = s.seedless() && block.number > f.openedBlock;
        if (drawn) {
            // Who is drawn must follow from the block that opened the round; without its hash nobody can be.
            if (block.number > uint256(f.openedBlock) + SEED_BLOCKS) {
                f.voidRound(id);
                return true;
            }
            s = _drawSeed(f, id, s);
            f.state = s;
        }
        if (block.timestamp < s.deadline()) return drawn;
        if (s.inPhase(Phase.Commit)) {
            if (s.commits() + s.batched() < s.leastUpdates()) f.voidRound(id);
            else f.state = _closeCommit(f, id, s);
        } else if (s.inPhase(Phase.Propose)) {
            uint40 deadline = f.retry(s, true);
            f.record(id, TurnMissed.selector, abi.encode(s.round(), s.attempt(), deadline));
            if (deadline == 0) f.voidRound(id);
        } else if (_carried(f, s)) {
            _accept(f, id, f.standing);
        } else {
            Disputes.reject(f, id, f.standing);
        }
        return true;
    }

    /// @dev Whether the votes at the end of the attest window accept: half of the seats voted, and more for than against.
    function _carried(Federation storage f, RoundState s) private view returns (bool) {
        (uint256 votesFor, uint256 votesAgainst) = Committee.count(f.results[f.standing].ballots);
        return 2 * (votesFor + votesAgainst) >= s.seats() && votesFor > votesAgainst;
    }

    function _accept(Federation storage f, bytes32 id, bytes32 digest) private {
        Proposed storage result = f.results[digest];
        uint32 height = ++f.headHeight;
        f.lastAccepted = uint40(block.timestamp);
        // A result that fell may have this height still.
        if (f.accepted[height] != 0) Disputes.replace(f, height, digest);
        f.accepted[height] = digest;
        result.status = Status.Accepted;
        f.record(id, ResultAccepted.selector, abi.encode(result.round, digest, height));
        if (result.marks & STOPS != 0 || f.trained(height) == f.terms.rounds) _end(f, id, false);
        else f.openNext(id, true);
    }

    function _end(Federation storage f, bytes32 id, bool idle) private {
        f.state = f.state.ended();
        f.endedAt = uint40(block.timestamp);
        f.record(id, FederationEnded.selector, abi.encode(idle));
    }

    // ---------------------------------------------------------------- settlement

    /// @dev Settle accepted results, oldest first, whose challenge window has ended and to which no challenge is open.
    function _settle(Federation storage f, bytes32 id) private returns (bool any) {
        uint32 head = f.headHeight;
        bool ended = f.state.inPhase(Phase.Ended);
        for (uint256 n; n < MOST_SETTLED; ++n) {
            uint32 height = f.settledHeight + 1;
            if (height > head) break;
            bytes32 digest = f.accepted[height];
            Proposed storage result = f.results[digest];
            if (block.timestamp < result.challengeDeadline || result.first != result.next) break;
            any = true;
            f.settledHeight = height;
            (result.status, result.challengeDeadline) = (Status.Settled, uint40(block.timestamp));
            f.record(id, ResultSettled.selector, abi.encode(digest, height));
            _payFees(f, result);
            if (ended && height == head || f.endsPeriod(height)) _endPeriod(f, id, digest);
        }
    }

    function _endPeriod(Federation storage f, bytes32 id, bytes32 digest) private {
        Proposed storage result = f.results[digest];
        f.claimable = _claimable(result.payouts, result.payoutTotal, result.known);
        f.record(id, PeriodEnded.selector, abi.encode(digest, result.payouts, result.payoutTotal));
    }

    /// @dev The voters' fees wait until they collect them.
    function _payFees(Federation storage f, Proposed storage result) private {
        Rules storage rules = f.rules;
        (uint256 votesFor, uint256 votesAgainst) = Committee.count(result.ballots);
        uint96 relayFee = result.batched != 0 ? rules.relayFee : 0;
        f.credit(result.proposer, rules.proposerBond, rules.proposerFee);
        f.credit(rules.relay, 0, relayFee);
        uint256 fees = (votesFor + votesAgainst) * rules.attesterFee + rules.proposerFee + relayFee;
        if (fees != 0) f.fees += uint96(fees);
    }

    // ---------------------------------------------------------------- disputes

    /// @inheritdoc IFederations
    function commitProof(bytes32 id, bytes32 result, bytes32 commitment) external payable {
        Disputes.commitProof(_existing(id), id, result, commitment);
    }

    /// @inheritdoc IFederations
    function demand(bytes32 id, bytes32 result, bytes calldata evidence) external payable {
        Disputes.demand(_existing(id), id, result, evidence);
    }

    /// @inheritdoc IFederations
    function answer(bytes32 id, bytes32 result, uint32 challenge, Target calldata target, bytes calldata data) external {
        Disputes.answer(_existing(id), id, result, challenge, target, data);
    }

    /// @inheritdoc IFederations
    function recommitProof(bytes32 id, bytes32 result, uint32 challenge, bytes32 commitment) external {
        Disputes.recommitProof(_existing(id), id, result, challenge, commitment);
    }

    /// @inheritdoc IFederations
    function redemand(bytes32 id, bytes32 result, uint32 challenge, bytes calldata evidence) external {
        Disputes.redemand(_existing(id), id, result, challenge, evidence);
    }

    /// @inheritdoc IFederations
    function openProof(
        bytes32 id,
        bytes32 result,
        uint8 attempt,
        uint32 challenge,
        bytes calldata proof,
        bytes32 salt
    ) external {
        Disputes.openProof(_existing(id), id, result, attempt, challenge, proof, salt);
    }

    /// @inheritdoc IFederations
    function concede(bytes32 id, bytes32 result, uint32 challenge) external {
        Disputes.concede(_existing(id), id, result, challenge);
    }

    /// @inheritdoc IFederations
    function expireChallenge(bytes32 id, bytes32 result) external {
        Disputes.expire(_existing(id), id, result);
    }

    /// @inheritdoc IFederations
    function reclaimChallenge(bytes32 id, bytes32 result, uint8 attempt, uint32 challenge) external {
        Disputes.reclaim(_existing(id), id, result, attempt, challenge);
    }

    /// @inheritdoc IFederations
    function releaseBond(bytes32 id, bytes32 result, uint8 attempt) external {
        Disputes.releaseBond(_existing(id), id, result, attempt);
    }

    /// @inheritdoc IFederations
    function chargeUnavailable(bytes32 id, bytes32 result, bytes calldata evidence) external {
        Disputes.chargeUnavailable(_existing(id), id, result, evidence);
    }

    // ---------------------------------------------------------------- money

    /// @inheritdoc IFederations
    function claim(bytes32 id, uint256 leaves, Claim[] calldata claims) external nonReentrant {
        Federation storage f = _federations[id];
        bytes32 claimable = f.claimable;
        address token = f.token;
        // Alone, a payee may use all the gas that there is.
        uint256 most = claims.length == 1 ? gasleft() : Money.share(token);
        address refused;
        bool any;
        for (uint256 i; i < claims.length; ++i) {
            Claim calldata c = claims[i];
            (uint256 participant, uint256 amount) = (c.participant, c.amount);
            (bytes32 root, uint256 total) =
                MerkleSum.open(MerkleSum.payoutLeaf(participant, amount), amount, participant, leaves, c.path);
            if (root == 0 || _claimable(root, total, leaves) != claimable) revert InvalidProof();
            Participant storage p = f.participants[participant];
            (address payout, uint256 paid, uint256 allPaid) = (p.payout, p.paid, f.paid);
            // A tree with a leaf below what was paid before would else pay out more than its total.
            uint256 due = total - allPaid;
            // What is left of the total, and so every sum here, is at most a policy's pool.
            unchecked {
                if (amount < paid + due) due = amount > paid ? amount - paid : 0;
                // Another sender may have claimed it since; that must not stop the others' payouts.
                if (due == 0) continue;

                p.paid = uint96(paid + due);
                f.paid = uint96(allPaid + due);
            }
            if (Money.trySend(token, payout, due, most)) {
                any = true;
                f.record(id, PayoutClaimed.selector, abi.encode(participant, payout, due));
            } else {
                // A call gets at most 63/64 of what is left. A payee that was given less than its share has not refused.
                if (gasleft() <= most / 63) revert GasTooLow();
                refused = payout;
                (p.paid, f.paid) = (uint96(paid), uint96(allPaid));
            }
        }
        if (any || claims.length == 0) return;
        if (refused != address(0)) Money.refuse(token, refused);
        revert NothingToClaim(uint32(claims[0].participant));
    }

    /// @inheritdoc IFederations
    function refund(bytes32 id) external nonReentrant {
        Funds.refund(_existing(id), id);
    }

    /// @inheritdoc IFederations
    function collectFees(bytes32 id, uint32 participant, bytes32[] calldata results) external {
        Funds.collectFees(_existing(id), id, participant, results);
    }

    /// @inheritdoc IFederations
    function withdraw(bytes32 id, address account) external nonReentrant {
        Funds.withdraw(_existing(id), id, account);
    }

    /// @dev keccak256(abi.encode(root, total, leaves)), in memory that is free again after it.
    function _claimable(bytes32 root, uint256 total, uint256 leaves) private pure returns (bytes32 hash) {
        assembly ("memory-safe") {
            let start := mload(0x40)
            mstore(start, root)
            mstore(add(start, 0x20), total)
            mstore(add(start, 0x40), leaves)
            hash := keccak256(start, 0x60)
        }
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc IFederations
    function federationOf(bytes32 id) external view returns (FederationView memory) {
        Federation storage f = _existing(id);
        RoundState s = f.state;
        return FederationView({
            phase: s.phase(),
            round: s.round(),
            lastRound: f.lastRound,
            attempt: s.attempt(),
            seats: s.seats(),
            known: s.known(),
            commits: s.commits(),
            batched: s.batched(),
            deadline: s.deadline(),
            turnMissed: s.turnMissed(),
            head: f.head(),
            headHeight: f.headHeight,
            settledHeight: f.settledHeight,
            standing: f.standing,
            lastAccepted: f.lastAccepted,
            joined: f.joined,
            active: f.active,
            creator: f.rules.creator,
            token: f.token,
            pool: f.rules.pool,
            paid: f.paid,
            fees: f.fees,
            refunded: f.refunded
        });
    }

    /// @inheritdoc IFederations
    function participantOf(bytes32 id, uint32 participant) external view returns (ParticipantView memory) {
        Participant storage p = _existing(id).participant(participant);
        return ParticipantView({
            signer: p.signer,
            controller: p.controller,
            payout: p.payout,
            identity: p.identity,
            datasets: p.datasets,
            activeFrom: p.from,
            activeUntil: p.until,
            slashed: p.slashed,
            stake: p.stake,
            leftAt: p.leftAt,
            paid: p.paid
        });
    }

    /// @inheritdoc IFederations
    function datasetOf(bytes32 id, uint32 participant, uint32 dataset) external view returns (Dataset memory) {
        return _existing(id).datasets[participant][dataset];
    }

    /// @inheritdoc IFederations
    function resultOf(bytes32 id, bytes32 result) external view returns (Result memory) {
        return _resultView(_existing(id).results[result]);
    }

    /// @inheritdoc IFederations
    function attemptOf(bytes32 id, bytes32 result, uint8 attempt) external view returns (Result memory) {
        Federation storage f = _existing(id);
        Proposed storage r = f.results[result];
        return _resultView(r.attempt == attempt ? r : f.earlier[result][attempt]);
    }

    function _resultView(Proposed storage r) private view returns (Result memory) {
        return Result({
            payouts: r.payouts,
            payoutTotal: r.payoutTotal,
            proposer: r.proposer,
            round: r.round,
            attempt: r.attempt,
            height: r.height,
            known: r.known,
            challengeDeadline: r.challengeDeadline,
            challenges: r.next,
            resolved: r.first,
            status: r.status,
            stop: r.marks & STOPS != 0,
            ballots: r.ballots,
            proofs: uint32(r.proofs),
            held: r.marks & HELD != 0,
            proven: r.marks & PROVEN != 0
        });
    }

    /// @inheritdoc IFederations
    function resultAt(bytes32 id, uint32 height) external view returns (bytes32) {
        Federation storage f = _existing(id);
        return height <= f.headHeight ? f.accepted[height] : bytes32(0);
    }

    /// @inheritdoc IFederations
    function commitOf(bytes32 id, uint32 round, uint32 participant) external view returns (bytes32) {
        return _existing(id).commits[_commitKey(round, participant)];
    }

    /// @inheritdoc IFederations
    function creditOf(bytes32 id, address account) external view returns (uint256 ethers, uint256 fees) {
        Credit storage owed = _existing(id).credits[account];
        return (owed.wei_, owed.fees);
    }

    /// @inheritdoc IFederations
    function accumulator(bytes32 id) external view returns (bytes32) {
        return _existing(id).h;
    }

    // ---------------------------------------------------------------- small things

    function _existing(bytes32 id) private view returns (Federation storage f) {
        f = _federations[id];
        if (!f.exists()) revert UnknownFederation(id);
    }

    function _running(bytes32 id) private view returns (Federation storage f) {
        f = _existing(id);
        if (f.state.inPhase(Phase.Ended)) revert HasEnded();
    }

    function _commitKey(uint32 round, uint32 participant) private pure returns (uint256) {
        return uint256(round) << 32 | participant;
    }
}
