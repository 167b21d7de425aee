// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {SafeERC20} from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";
import {LowLevelCall} from "@openzeppelin/contracts/utils/LowLevelCall.sol";
import {ReentrancyGuard} from "@openzeppelin/contracts/utils/ReentrancyGuard.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

import {PolicyHeader, ResultHeader, RESULT_TAG} from "./Headers.sol";
import {
    Dataset,
    FederationView,
    IFederations,
    ParticipantView,
    Phase,
    Result,
    Status
} from "./interfaces/IFederations.sol";
import {History} from "./libraries/History.sol";
import {MerkleSum} from "./libraries/MerkleSum.sol";
import {Policies} from "./libraries/Policies.sol";
import {RoundState, RoundStates} from "./types/RoundState.sol";
import {Seat, Seats} from "./types/Seat.sol";

/// @title Federations
/// @notice The rounds, results and money of federations that learn together.
/// @dev See `IFederations` for what each function does and for the warnings.
contract Federations is IFederations, EIP712, ReentrancyGuard {
    using SafeERC20 for IERC20;

    /// @dev The part of the policy that is read again; its other windows and least number are in the `RoundState`.
    struct Rules {
        address creator;
        uint16 startParticipants;
        uint16 maxParticipants;
        uint16 quorumBps;
        uint8 attempts;
        bool open;
        bool statistics;
        uint32 commitWindow;
        uint32 attestWindow;
        uint32 challengeWindow;
        uint32 idleWindow;
        uint32 rounds;
        uint32 rewardPeriod;
        uint32 weightCap;
        address token;
        uint64 target;
        uint128 stake;
        uint128 proposerBond;
    }

    /// @dev `weight` is that of its newest data-set commitment.
    struct Participant {
        address signer;
        uint32 datasets;
        uint32 weight;
        bool left;
        bool staked;
        address controller;
        address payout;
        bytes32 identity;
        uint128 paid;
    }

    /// @dev `weights` is the sum over all participants that have not left.
    struct Federation {
        RoundState state;
        bytes32 h;
        bytes32 head;
        bytes32 standing;
        bytes32 claimable;
        uint32 headHeight;
        uint32 settledHeight;
        uint40 lastAccepted;
        uint16 joined;
        uint16 active;
        uint32 weights;
        bool refunded;
        uint128 pool;
        uint128 paid;
        Rules rules;
        mapping(address signer => Seat) seats;
        mapping(uint256 roundAndParticipant => bytes32) commits;
        mapping(uint256 participant => Participant) participants;
        mapping(uint256 participant => mapping(uint256 dataset => Dataset)) datasets;
        mapping(address controller => bool) controllers;
        mapping(bytes32 digest => Result) results;
        mapping(uint256 height => bytes32 digest) accepted;
        mapping(address proposer => uint256) credits;
    }

    /// @dev Results settled in one call of `advance`.
    uint256 private constant MOST_SETTLED = 16;
    /// @dev Sums of int32 coordinates with weights below this fit int64.
    uint256 private constant WEIGHT_LIMIT = 1 << 31;
    uint256 private constant POLICY_SIZE = 51 * 32;
    uint256 private constant RESULT_SIZE = 18 * 32;
    bytes32 private constant INVITATION_TYPEHASH = keccak256(
        "Invitation(bytes32 federation,address controller,bytes32 identity,bytes32 datasetRoot,uint32 dataset,uint32 rows,uint64 expires)"
    );

    mapping(bytes32 id => Federation) private _federations;

    constructor() EIP712("FedNode Federations", "1") {}

    // ---------------------------------------------------------------- creation

    /// @inheritdoc IFederations
    function createFederation(PolicyHeader calldata policy, bytes32 salt)
        external
        payable
        nonReentrant
        returns (bytes32 id)
    {
        bytes32 refusal = Policies.refusal(policy);
        if (refusal != 0) revert PolicyRefused(refusal);
        _checkAncestor(policy);
        address token = policy.token;
        uint128 pool = policy.pool;
        _checkValue(token == address(0) ? pool : 0);
        bytes32 digest = sha256(msg.data[4:4 + POLICY_SIZE]);
        id = keccak256(abi.encode(block.chainid, address(this), msg.sender, digest, salt));
        Federation storage f = _federations[id];
        if (_exists(f)) revert FederationExists(id);

        f.state = RoundStates.forming(policy.leastUpdates, policy.revealWindow, policy.proposeWindow);
        f.lastAccepted = uint40(block.timestamp);
        f.pool = pool;
        _setRules(f.rules, policy);
        _record(f, id, FederationCreated.selector, abi.encode(msg.sender, digest, salt, pool));

        if (token != address(0) && pool != 0) _pull(IERC20(token), pool);
    }

    function _checkValue(uint256 due) private view {
        if (msg.value != due) revert WrongValue(due, msg.value);
    }

    function _checkAncestor(PolicyHeader calldata policy) private view {
        if (policy.ancestor == 0) {
            if (policy.common.parent != 0) revert PolicyRefused("parent");
            return;
        }
        Result storage result = _federations[policy.ancestor].results[policy.common.parent];
        if (result.status != Status.Settled) revert PolicyRefused("parent");
        if (result.modelRoot != policy.initialModelRoot) revert PolicyRefused("initialModelRoot");
    }

    function _setRules(Rules storage rules, PolicyHeader calldata policy) private {
        rules.creator = msg.sender;
        rules.startParticipants = uint16(policy.startParticipants);
        rules.maxParticipants = uint16(policy.maxParticipants);
        rules.quorumBps = policy.quorumBps;
        rules.attempts = policy.attempts;
        rules.open = policy.open;
        rules.statistics = policy.statistics != 0;
        rules.commitWindow = policy.commitWindow;
        rules.attestWindow = policy.attestWindow;
        rules.challengeWindow = policy.challengeWindow;
        rules.idleWindow = policy.idleWindow;
        rules.rounds = policy.rounds;
        rules.rewardPeriod = policy.rewardPeriod;
        rules.weightCap = policy.weightCap;
        rules.token = policy.token;
        rules.target = policy.target;
        rules.stake = policy.stake;
        rules.proposerBond = policy.proposerBond;
    }

    // ---------------------------------------------------------------- participants

    /// @inheritdoc IFederations
    function join(
        bytes32 id,
        address signer,
        address payout,
        bytes32 identity,
        bytes32 datasetRoot,
        uint32 rows,
        uint64 expires,
        bytes calldata invitation
    ) external payable {
        Federation storage f = _running(id);
        _checkValue(f.rules.stake);
        if (f.joined == f.rules.maxParticipants) revert FederationFull(f.rules.maxParticipants);
        if (payout == address(0)) revert ZeroAddress();
        if (f.controllers[msg.sender]) revert ControllerTaken(msg.sender);
        _checkInvitation(f, id, identity, datasetRoot, 0, rows, expires, invitation);

        uint32 index = f.joined++;
        uint32 from = _nextRound(f.state);
        uint32 active = ++f.active;
        _seat(f, signer, Seats.taken(index, from));
        f.controllers[msg.sender] = true;
        Participant storage p = f.participants[index];
        p.signer = signer;
        p.staked = f.rules.stake != 0;
        p.controller = msg.sender;
        p.payout = payout;
        p.identity = identity;
        _appendDataset(f, index, datasetRoot, rows, from);
        _record(
            f,
            id,
            ParticipantJoined.selector,
            abi.encode(index, signer, msg.sender, payout, identity, datasetRoot, rows)
        );
        if (f.state.inPhase(Phase.Forming) && active == f.rules.startParticipants) {
            f.lastAccepted = uint40(block.timestamp);
            _openNext(f, id);
        }
    }

    /// @inheritdoc IFederations
    function leave(bytes32 id, uint32 participant) external {
        Federation storage f = _running(id);
        Participant storage p = _controlled(f, participant);
        if (p.left) revert AlreadyLeft(participant);
        p.left = true;
        --f.active;
        f.weights -= p.weight;
        f.seats[p.signer] = f.seats[p.signer].leaving(_nextRound(f.state));
        _record(f, id, ParticipantLeft.selector, abi.encode(participant));
    }

    /// @inheritdoc IFederations
    function rotateSigner(bytes32 id, uint32 participant, address signer) external {
        Federation storage f = _running(id);
        Participant storage p = _controlled(f, participant);
        _seat(f, signer, f.seats[p.signer]);
        f.seats[p.signer] = Seats.retired();
        p.signer = signer;
        _record(f, id, SignerRotated.selector, abi.encode(participant, signer));
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
        Federation storage f = _running(id);
        Participant storage p = _controlled(f, participant);
        if (p.left) revert AlreadyLeft(participant);
        _checkInvitation(f, id, p.identity, root, p.datasets, rows, expires, invitation);
        uint32 dataset = _appendDataset(f, participant, root, rows, _nextRound(f.state));
        _record(f, id, DatasetCommitted.selector, abi.encode(participant, dataset, root, rows));
    }

    /// @inheritdoc IFederations
    function withdrawStake(bytes32 id, uint32 participant) external nonReentrant {
        Federation storage f = _existing(id);
        Participant storage p = _controlled(f, participant);
        if (!p.staked) revert NothingToWithdraw(msg.sender);
        if (!_released(f, p)) revert StakeLocked(participant);
        p.staked = false;
        uint128 amount = f.rules.stake;
        _record(f, id, StakeWithdrawn.selector, abi.encode(participant, amount));
        _send(address(0), msg.sender, amount);
    }

    function _seat(Federation storage f, address signer, Seat seat) private {
        if (signer == address(0)) revert ZeroAddress();
        if (f.seats[signer].exists()) revert SignerTaken(signer);
        f.seats[signer] = seat;
    }

    /// @dev Whether every round that the participant had a seat in is settled or void.
    function _released(Federation storage f, Participant storage p) private view returns (bool) {
        RoundState s = f.state;
        uint32 until = f.seats[p.signer].activeUntil();
        bool ended = s.inPhase(Phase.Ended);
        if (!ended && (!p.left || s.round() < until)) return false;
        if (f.settledHeight == f.headHeight) return true;
        return f.results[f.accepted[f.settledHeight + 1]].round >= until;
    }

    function _checkInvitation(
        Federation storage f,
        bytes32 id,
        bytes32 identity,
        bytes32 root,
        uint32 dataset,
        uint32 rows,
        uint64 expires,
        bytes calldata invitation
    ) private view {
        if (f.rules.open) {
            if (invitation.length != 0) revert InvitationRefused();
            return;
        }
        if (block.timestamp > expires) revert InvitationExpired(expires);
        bytes32 content =
            keccak256(abi.encode(INVITATION_TYPEHASH, id, msg.sender, identity, root, dataset, rows, expires));
        if (!SignatureChecker.isValidSignatureNow(f.rules.creator, _hashTypedDataV4(content), invitation)) {
            revert InvitationRefused();
        }
    }

    function _appendDataset(Federation storage f, uint32 participant, bytes32 root, uint32 rows, uint32 from)
        private
        returns (uint32 dataset)
    {
        Participant storage p = f.participants[participant];
        uint32 cap = f.rules.weightCap;
        uint32 weight = f.rules.open ? 1 : rows < cap ? rows : cap;
        uint256 sum = uint256(f.weights) - p.weight + weight;
        if (sum >= WEIGHT_LIMIT) revert WeightOverflow(sum);
        f.weights = uint32(sum);
        p.weight = weight;
        dataset = p.datasets++;
        f.datasets[participant][dataset] = Dataset({root: root, rows: rows, fromRound: from});
    }

    // ---------------------------------------------------------------- a round

    /// @inheritdoc IFederations
    function commitUpdate(bytes32 id, uint32 round, bytes32 digest) external {
        Federation storage f = _federations[id];
        RoundState s = f.state;
        _checkPhase(id, s, Phase.Commit, round);
        Seat seat = f.seats[msg.sender];
        if (!seat.activeIn(round)) revert NotSeated(msg.sender, round);
        uint32 participant = seat.participant();
        uint256 key = _commitKey(round, participant);
        if (f.commits[key] != 0) revert AlreadyCommitted(participant, round);

        uint32 slot = s.commits();
        f.commits[key] = keccak256(abi.encode(digest, slot));
        s = s.withCommit();
        _record(f, id, UpdateCommitted.selector, abi.encode(round, slot, participant, digest));
        if (s.commits() == s.seats() && s.commits() >= s.leastUpdates()) s = _closeCommit(f, id, s);
        f.state = s;
    }

    /// @inheritdoc IFederations
    function proposeResult(bytes32 id, ResultHeader calldata header, bytes32 index) external payable {
        Federation storage f = _federations[id];
        RoundState s = f.state;
        uint32 round = header.common.round;
        _checkPhase(id, s, Phase.Propose, round);
        _checkValue(f.rules.proposerBond);
        _checkTurn(f, s);
        (uint128 base, bytes32 refusal) = _judge(f, id, s, header);
        if (refusal != 0) revert HeaderRefused(refusal);
        bytes32 digest = sha256(msg.data[36:36 + RESULT_SIZE]);

        uint40 attestDeadline = _in(f.rules.attestWindow);
        uint40 challengeDeadline = _in(f.rules.challengeWindow);
        f.state = s.attesting(attestDeadline);
        f.standing = digest;
        Result storage result = f.results[digest];
        result.payouts = header.payouts;
        result.modelRoot = header.modelRoot;
        result.payoutTotal = header.payoutTotal;
        result.base = base;
        result.proposer = msg.sender;
        result.round = round;
        result.challengeDeadline = challengeDeadline;
        result.lastParticipant = uint8(s.known() - 1);
        result.status = Status.Standing;
        result.stop = header.stop;
        _record(
            f,
            id,
            ResultProposed.selector,
            abi.encode(round, s.attempt(), msg.sender, digest, index, attestDeadline, challengeDeadline)
        );
    }

    /// @inheritdoc IFederations
    function vote(bytes32 id, uint32 round, uint8 attempt, bytes32 result, bool support) external {
        Federation storage f = _federations[id];
        RoundState s = f.state;
        _checkPhase(id, s, Phase.Attest, round);
        if (attempt != s.attempt()) revert WrongAttempt(s.attempt(), attempt);
        if (result != f.standing) revert WrongResult(f.standing, result);
        Seat seat = f.seats[msg.sender];
        if (!seat.activeIn(round)) revert NotSeated(msg.sender, round);
        uint32 participant = seat.participant();
        if (seat.votedIn(round, attempt)) revert AlreadyVoted(participant, round, attempt);

        f.seats[msg.sender] = seat.withVote(round, attempt);
        s = s.withVote(support);
        f.state = s;
        _record(f, id, Voted.selector, abi.encode(round, attempt, participant, result, support));
        uint256 votes = support ? s.votesFor() : s.votesAgainst();
        if (votes * 10_000 >= uint256(f.rules.quorumBps) * s.seats()) {
            if (support) _accept(f, id);
            else _reject(f, id);
        }
    }

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
        bool stands = s.inPhase(Phase.Attest) && (block.timestamp < s.deadline() || _carried(s));
        if (block.timestamp < until || stands) revert NotIdle(until);

        if (!s.inPhase(Phase.Forming)) {
            _record(f, id, RoundVoided.selector, abi.encode(s.round()));
            if (s.inPhase(Phase.Attest)) _returnBond(f, id, f.results[f.standing], Status.Void);
        }
        _end(f, id, true);
        bytes32 head = f.head;
        if (head != f.claimable && f.settledHeight == f.headHeight) _endPeriod(f, id, head);
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

    function _checkTurn(Federation storage f, RoundState s) private view {
        if (s.turnMissed()) return;
        uint256 turn = (uint256(s.round()) + s.attempt()) % s.known();
        address signer = f.participants[turn].signer;
        if (msg.sender != signer && f.seats[signer].activeIn(s.round())) revert NotInTurn(uint32(turn));
    }

    /// @dev The payouts before the header's reward period, and why the header does not follow from the federation's state: a
    /// field's name, or zero if it does. What only its bytes can show is left to the votes.
    function _judge(Federation storage f, bytes32 id, RoundState s, ResultHeader calldata header)
        private
        view
        returns (uint128 base, bytes32 refusal)
    {
        if (
            header.common.tag != RESULT_TAG || header.common.chainId != block.chainid
                || header.common.ledger != address(this) || header.common.federation != id
        ) return (0, "common");
        bytes32 head = f.head;
        if (header.common.parent != head) return (0, "parent");
        uint256 number = header.number;
        uint256 weight = header.weight;
        if (number > s.commits() || number != 0 && number < s.leastUpdates()) return (0, "number");
        if (weight >= WEIGHT_LIMIT || number == 0 && weight != 0) return (0, "weight");
        uint32 height = f.headHeight;
        if (height != 0) base = _endsPeriod(f, height) ? f.results[head].payoutTotal : f.results[head].base;
        bool training = _trained(f, height + 1) != 0;
        if (header.stop && !training) return (0, "stop");
        uint256 released = _releasedDown(f, base, header.gain);
        if (!training || header.scores == 0) released = 0;
        if (header.payoutTotal != base + released) return (0, "payoutTotal");
    }

    /// @dev min(pool - base, pool * gain / target), rounded down; nothing for no gain.
    function _releasedDown(Federation storage f, uint128 base, int64 gain) private view returns (uint256) {
        uint256 pool = f.pool;
        if (gain <= 0 || pool == 0) return 0;
        uint256 earned = pool * uint64(gain) / f.rules.target;
        return earned < pool - base ? earned : pool - base;
    }

    function _openNext(Federation storage f, bytes32 id) private {
        uint32 round = _nextRound(f.state);
        uint40 deadline = _in(f.rules.commitWindow);
        uint32 seats = f.active;
        f.state = f.state.opened(round, seats, f.joined, deadline);
        _record(f, id, RoundOpened.selector, abi.encode(round, f.head, seats, deadline));
    }

    function _closeCommit(Federation storage f, bytes32 id, RoundState s) private returns (RoundState) {
        uint40 revealDeadline = _in(s.revealWindow());
        uint40 proposeDeadline = _in(uint256(s.revealWindow()) + s.proposeWindow());
        _record(f, id, CommitClosed.selector, abi.encode(s.round(), s.commits(), revealDeadline, proposeDeadline));
        return s.proposing(proposeDeadline);
    }

    /// @dev Leave the phase whose deadline has passed, if one has.
    function _passDeadline(Federation storage f, bytes32 id) private returns (bool) {
        RoundState s = f.state;
        if (s.inPhase(Phase.Forming) || s.inPhase(Phase.Ended) || block.timestamp < s.deadline()) return false;
        if (s.inPhase(Phase.Commit)) {
            if (s.commits() < s.leastUpdates()) _void(f, id);
            else f.state = _closeCommit(f, id, s);
        } else if (s.inPhase(Phase.Propose)) {
            uint40 deadline = _retry(f, s, true);
            _record(f, id, TurnMissed.selector, abi.encode(s.round(), s.attempt(), deadline));
            if (deadline == 0) _void(f, id);
        } else if (_carried(s)) {
            _accept(f, id);
        } else {
            _reject(f, id);
        }
        return true;
    }

    /// @dev Whether the votes at the end of the attest window accept: half of the seats voted, and more for than against.
    function _carried(RoundState s) private pure returns (bool) {
        unchecked {
            return 2 * (s.votesFor() + s.votesAgainst()) >= s.seats() && s.votesFor() > s.votesAgainst();
        }
    }

    function _accept(Federation storage f, bytes32 id) private {
        bytes32 digest = f.standing;
        Result storage result = f.results[digest];
        uint32 height = ++f.headHeight;
        f.lastAccepted = uint40(block.timestamp);
        f.head = digest;
        f.accepted[height] = digest;
        result.status = Status.Accepted;
        _record(f, id, ResultAccepted.selector, abi.encode(result.round, digest, height));
        if (result.stop || _trained(f, height) == f.rules.rounds) _end(f, id, false);
        else _openNext(f, id);
    }

    function _reject(Federation storage f, bytes32 id) private {
        RoundState s = f.state;
        bytes32 digest = f.standing;
        uint40 deadline = _retry(f, s, false);
        _record(f, id, ResultRejected.selector, abi.encode(s.round(), s.attempt(), digest, deadline));
        _returnBond(f, id, f.results[digest], Status.Rejected);
        if (deadline == 0) _void(f, id);
    }

    /// @dev Go back to proposing with the next attempt; 0 if there is none.
    function _retry(Federation storage f, RoundState s, bool missed) private returns (uint40 deadline) {
        if (s.attempt() + 1 == f.rules.attempts) return 0;
        deadline = _in(s.proposeWindow());
        f.state = s.retrying(deadline, missed);
    }

    function _void(Federation storage f, bytes32 id) private {
        _record(f, id, RoundVoided.selector, abi.encode(f.state.round()));
        _openNext(f, id);
    }

    function _end(Federation storage f, bytes32 id, bool idle) private {
        f.state = f.state.ended();
        _record(f, id, FederationEnded.selector, abi.encode(idle));
    }

    // ---------------------------------------------------------------- settlement

    /// @dev Settle accepted results, oldest first, whose challenge window has ended.
    function _settle(Federation storage f, bytes32 id) private returns (bool any) {
        uint32 head = f.headHeight;
        bool ended = f.state.inPhase(Phase.Ended);
        for (uint256 n; n < MOST_SETTLED; ++n) {
            uint32 height = f.settledHeight + 1;
            if (height > head) break;
            bytes32 digest = f.accepted[height];
            Result storage result = f.results[digest];
            if (block.timestamp < result.challengeDeadline) break;
            any = true;
            f.settledHeight = height;
            _record(f, id, ResultSettled.selector, abi.encode(digest, height));
            _returnBond(f, id, result, Status.Settled);
            if (ended && height == head || _endsPeriod(f, height)) _endPeriod(f, id, digest);
        }
    }

    function _endPeriod(Federation storage f, bytes32 id, bytes32 digest) private {
        Result storage result = f.results[digest];
        f.claimable = digest;
        _record(f, id, PeriodEnded.selector, abi.encode(digest, result.payouts, result.payoutTotal));
    }

    /// @dev A result is done with: keep what became of it, and credit its proposer's bond.
    function _returnBond(Federation storage f, bytes32 id, Result storage result, Status status) private {
        result.status = status;
        uint128 bond = f.rules.proposerBond;
        if (bond == 0) return;
        address proposer = result.proposer;
        f.credits[proposer] += bond;
        _record(f, id, BondReturned.selector, abi.encode(proposer, bond));
    }

    /// @dev Training rounds up to this height: the statistics round is not one.
    function _trained(Federation storage f, uint32 height) private view returns (uint256) {
        return f.rules.statistics ? height - 1 : height;
    }

    /// @dev Whether a reward period ends at this height while the federation goes on.
    function _endsPeriod(Federation storage f, uint32 height) private view returns (bool) {
        uint256 trained = _trained(f, height);
        uint256 period = f.rules.rewardPeriod;
        return trained != 0 && period != 0 && trained % period == 0;
    }

    // ---------------------------------------------------------------- money

    /// @inheritdoc IFederations
    function claim(bytes32 id, uint32 participant, uint128 amount, bytes32[] calldata hashes, uint256[] calldata sums)
        external
        nonReentrant
    {
        Federation storage f = _existing(id);
        Result storage result = f.results[f.claimable];
        uint128 total = result.payoutTotal;
        if (
            result.status != Status.Settled
                || !MerkleSum.verify(
                    result.payouts,
                    total,
                    MerkleSum.payoutLeaf(participant, amount),
                    amount,
                    participant,
                    uint256(result.lastParticipant) + 1,
                    hashes,
                    sums
                )
        ) revert InvalidProof();
        Participant storage p = f.participants[participant];
        uint128 due = amount > p.paid ? amount - p.paid : 0;
        // A tree with a leaf below what was paid before would else pay out more than its total.
        uint128 left = total - f.paid;
        if (due > left) due = left;
        if (due == 0) revert NothingToClaim(participant);

        p.paid += due;
        f.paid += due;
        _record(f, id, PayoutClaimed.selector, abi.encode(participant, p.payout, due));
        _send(f.rules.token, p.payout, due);
    }

    /// @inheritdoc IFederations
    function refund(bytes32 id) external nonReentrant {
        Federation storage f = _existing(id);
        if (!f.state.inPhase(Phase.Ended) || f.settledHeight != f.headHeight) revert RefundLocked();
        uint128 amount = f.pool - f.results[f.head].payoutTotal;
        if (f.refunded || amount == 0) revert NothingToRefund();
        f.refunded = true;
        address creator = f.rules.creator;
        _record(f, id, Refunded.selector, abi.encode(creator, amount));
        _send(f.rules.token, creator, amount);
    }

    /// @inheritdoc IFederations
    function withdrawBond(bytes32 id) external nonReentrant {
        Federation storage f = _existing(id);
        uint256 amount = f.credits[msg.sender];
        if (amount == 0) revert NothingToWithdraw(msg.sender);
        f.credits[msg.sender] = 0;
        _record(f, id, BondWithdrawn.selector, abi.encode(msg.sender, amount));
        _send(address(0), msg.sender, amount);
    }

    function _pull(IERC20 token, uint256 amount) private {
        uint256 before = _balance(token);
        token.safeTransferFrom(msg.sender, address(this), amount);
        uint256 received = _balance(token) - before;
        if (received != amount) revert TransferIncomplete(amount, received);
    }

    function _balance(IERC20 token) private view returns (uint256) {
        return token.balanceOf(address(this));
    }

    function _send(address token, address to, uint256 amount) private {
        if (token != address(0)) IERC20(token).safeTransfer(to, amount);
        else if (!LowLevelCall.callNoReturn(to, amount, "")) revert EtherRefused(to);
    }

    // ---------------------------------------------------------------- views

    /// @inheritdoc IFederations
    function federationOf(bytes32 id) external view returns (FederationView memory) {
        Federation storage f = _existing(id);
        RoundState s = f.state;
        return FederationView({
            phase: s.phase(),
            round: s.round(),
            attempt: s.attempt(),
            seats: s.seats(),
            known: s.known(),
            commits: s.commits(),
            votesFor: s.votesFor(),
            votesAgainst: s.votesAgainst(),
            deadline: s.deadline(),
            turnMissed: s.turnMissed(),
            head: f.head,
            headHeight: f.headHeight,
            settledHeight: f.settledHeight,
            standing: f.standing,
            claimable: f.claimable,
            lastAccepted: f.lastAccepted,
            joined: f.joined,
            active: f.active,
            creator: f.rules.creator,
            token: f.rules.token,
            pool: f.pool,
            paid: f.paid,
            refunded: f.refunded
        });
    }

    /// @inheritdoc IFederations
    function participantOf(bytes32 id, uint32 participant) external view returns (ParticipantView memory) {
        Federation storage f = _existing(id);
        Participant storage p = _participant(f, participant);
        Seat seat = f.seats[p.signer];
        return ParticipantView({
            signer: p.signer,
            controller: p.controller,
            payout: p.payout,
            identity: p.identity,
            datasets: p.datasets,
            activeFrom: seat.activeFrom(),
            activeUntil: seat.activeUntil(),
            left: p.left,
            staked: p.staked,
            paid: p.paid
        });
    }

    /// @inheritdoc IFederations
    function datasetOf(bytes32 id, uint32 participant, uint32 dataset) external view returns (Dataset memory) {
        return _existing(id).datasets[participant][dataset];
    }

    /// @inheritdoc IFederations
    function resultOf(bytes32 id, bytes32 result) external view returns (Result memory) {
        return _existing(id).results[result];
    }

    /// @inheritdoc IFederations
    function resultAt(bytes32 id, uint32 height) external view returns (bytes32) {
        return _existing(id).accepted[height];
    }

    /// @inheritdoc IFederations
    function commitOf(bytes32 id, uint32 round, uint32 participant) external view returns (bytes32) {
        return _existing(id).commits[_commitKey(round, participant)];
    }

    /// @inheritdoc IFederations
    function creditOf(bytes32 id, address account) external view returns (uint256) {
        return _existing(id).credits[account];
    }

    /// @inheritdoc IFederations
    function accumulator(bytes32 id) external view returns (bytes32) {
        return _existing(id).h;
    }

    // ---------------------------------------------------------------- small things

    /// @dev `fields` are the event's data without the accumulator.
    function _record(Federation storage f, bytes32 id, bytes32 topic, bytes memory fields) private {
        f.h = History.append(f.h, id, topic, fields);
    }

    function _exists(Federation storage f) private view returns (bool) {
        return RoundState.unwrap(f.state) != 0;
    }

    function _existing(bytes32 id) private view returns (Federation storage f) {
        f = _federations[id];
        if (!_exists(f)) revert UnknownFederation(id);
    }

    function _running(bytes32 id) private view returns (Federation storage f) {
        f = _existing(id);
        if (f.state.inPhase(Phase.Ended)) revert HasEnded();
    }

    function _participant(Federation storage f, uint32 participant) private view returns (Participant storage) {
        if (participant >= f.joined) revert UnknownParticipant(participant);
        return f.participants[participant];
    }

    function _controlled(Federation storage f, uint32 participant) private view returns (Participant storage p) {
        p = _participant(f, participant);
        if (msg.sender != p.controller) revert NotController(p.controller);
    }

    /// @dev The first round that is not opened yet.
    function _nextRound(RoundState s) private pure returns (uint32) {
        unchecked {
            return s.inPhase(Phase.Forming) ? 0 : s.round() + 1;
        }
    }

    function _commitKey(uint32 round, uint32 participant) private pure returns (uint256) {
        return uint256(round) << 32 | participant;
    }

    function _in(uint256 window) private view returns (uint40) {
        unchecked {
            return uint40(block.timestamp + window);
        }
    }
}
