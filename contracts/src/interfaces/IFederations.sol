// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../Headers.sol";

/// @notice Phase of a federation's current round. Reveal has no transaction of its own: it is the first part of Propose.
enum Phase {
    Forming, // waiting for `startParticipants`
    Commit,
    Propose,
    Attest,
    Ended // no further round; results may still be settling
}

/// @notice What has become of a result. Void: its round ended without a result while it stood.
enum Status {
    None,
    Standing,
    Accepted,
    Settled,
    Rejected,
    Void
}

/// @notice A federation's state, for readers.
/// @param known Participants known when the round was opened: the leaves of the round's values and payout trees.
/// @param deadline End of the current phase: commit, propose or attest.
/// @param turnMissed Whether a turn of this round was missed, so that anybody may propose.
/// @param head Digest of the newest accepted result, of height `headHeight`; zero before the first.
/// @param standing Digest of the proposal voted on in phase Attest.
/// @param claimable Digest of the result whose payouts can be claimed; zero before the first period has ended.
/// @param lastAccepted Time of the last acceptance; before the first, of the opening of round 0 or of creation.
/// @param paid Sum of the payouts claimed so far.
struct FederationView {
    Phase phase;
    uint32 round;
    uint8 attempt;
    uint32 seats;
    uint32 known;
    uint32 commits;
    uint32 votesFor;
    uint32 votesAgainst;
    uint40 deadline;
    bool turnMissed;
    bytes32 head;
    uint32 headHeight;
    uint32 settledHeight;
    bytes32 standing;
    bytes32 claimable;
    uint40 lastAccepted;
    uint32 joined;
    uint32 active;
    address creator;
    address token;
    uint128 pool;
    uint128 paid;
    bool refunded;
}

/// @notice A participant, for readers. It has a seat in the rounds from `activeFrom` to `activeUntil - 1`.
/// @param datasets Length of its list of data-set commitments.
/// @param staked Whether its stake is still here.
/// @param paid Payouts received so far.
struct ParticipantView {
    address signer;
    address controller;
    address payout;
    bytes32 identity;
    uint32 datasets;
    uint32 activeFrom;
    uint32 activeUntil;
    bool left;
    bool staked;
    uint128 paid;
}

/// @notice A data-set commitment.
/// @param rows Rows that the creator attested (in an open federation: declared, and without effect).
/// @param fromRound First round opened after it: the first one that it weighs in.
struct Dataset {
    bytes32 root;
    uint32 rows;
    uint32 fromRound;
}

/// @notice What the contract keeps of a result header.
/// @param lastParticipant Highest index of a participant when the round was opened: the payout tree has one leaf more.
/// @param stop Whether the federation ends with this result.
/// @param base Payouts until the end of the reward period before.
struct Result {
    bytes32 payouts;
    bytes32 modelRoot;
    uint128 payoutTotal;
    uint128 base;
    address proposer;
    uint32 round;
    uint40 challengeDeadline;
    uint8 lastParticipant;
    Status status;
    bool stop;
}

/// @title A ledger that holds any number of federations
/// @notice Nobody has a key that can take, freeze or change: a federation's policy is fixed when it is created.
/// @dev Every event of a federation has exactly the topics [signature, federation], its data are static words, and the
/// last word is the history accumulator after it: `h' = keccak256(h ++ timestamp ++ topic0 ++ data without its last word)`,
/// h = 0 before the first, `timestamp` as a 32-byte word. `Checkpoint` alone leaves h unchanged.
///
/// A phase lasts while `block.timestamp < deadline`; from `deadline` on it is over, and `advance` does what is due.
///
/// WARNING: stakes and bonds are ether, whatever the pool is paid in.
/// WARNING: a token that takes fees on transfer, rebases or can pause strands or shortens the pools paid in it, nothing else.
/// Fees on transfer are refused; the others cannot be seen.
/// WARNING: ether goes to the payout address, controller, creator or proposer by a plain call; an address that refuses it
/// keeps its own money here, and nobody else's.
/// WARNING: what the bytes behind a digest hold is judged by the committee's votes, not by this contract.
/// So a payout tree that a quorum let pass although it has no such leaves keeps what it released here for good.
interface IFederations {
    event FederationCreated(
        bytes32 indexed federation, address creator, bytes32 policy, bytes32 salt, uint256 pool, bytes32 h
    );
    event ParticipantJoined(
        bytes32 indexed federation,
        uint32 participant,
        address signer,
        address controller,
        address payout,
        bytes32 identity,
        bytes32 datasetRoot,
        uint32 rows,
        bytes32 h
    );
    event ParticipantLeft(bytes32 indexed federation, uint32 participant, bytes32 h);
    event SignerRotated(bytes32 indexed federation, uint32 participant, address signer, bytes32 h);
    event DatasetCommitted(
        bytes32 indexed federation, uint32 participant, uint32 dataset, bytes32 root, uint32 rows, bytes32 h
    );
    event StakeWithdrawn(bytes32 indexed federation, uint32 participant, uint128 amount, bytes32 h);
    event RoundOpened(
        bytes32 indexed federation, uint32 round, bytes32 parent, uint32 seats, uint40 commitDeadline, bytes32 h
    );
    event UpdateCommitted(
        bytes32 indexed federation, uint32 round, uint32 slot, uint32 participant, bytes32 digest, bytes32 h
    );
    event CommitClosed(
        bytes32 indexed federation,
        uint32 round,
        uint32 commits,
        uint40 revealDeadline,
        uint40 proposeDeadline,
        bytes32 h
    );
    /// @dev `attempt` is the one that was missed; the round goes on with `attempt + 1` until `proposeDeadline`, or, if that
    /// is zero, is voided next.
    event TurnMissed(bytes32 indexed federation, uint32 round, uint8 attempt, uint40 proposeDeadline, bytes32 h);
    event ResultProposed(
        bytes32 indexed federation,
        uint32 round,
        uint8 attempt,
        address proposer,
        bytes32 result,
        bytes32 index,
        uint40 attestDeadline,
        uint40 challengeDeadline,
        bytes32 h
    );
    event Voted(
        bytes32 indexed federation,
        uint32 round,
        uint8 attempt,
        uint32 participant,
        bytes32 result,
        bool support,
        bytes32 h
    );
    event ResultAccepted(bytes32 indexed federation, uint32 round, bytes32 result, uint32 height, bytes32 h);
    /// @dev `attempt` is the one that was rejected; the round goes on with `attempt + 1` until `proposeDeadline`, or, if that
    /// is zero, is voided next.
    event ResultRejected(
        bytes32 indexed federation, uint32 round, uint8 attempt, bytes32 result, uint40 proposeDeadline, bytes32 h
    );
    event RoundVoided(bytes32 indexed federation, uint32 round, bytes32 h);
    event ResultSettled(bytes32 indexed federation, bytes32 result, uint32 height, bytes32 h);
    /// @dev The payouts of `result` are claimable from now on.
    event PeriodEnded(bytes32 indexed federation, bytes32 result, bytes32 payouts, uint128 total, bytes32 h);
    /// @dev No round opens any more: all rounds done, a result said stop, or `close` after the idle window.
    event FederationEnded(bytes32 indexed federation, bool idle, bytes32 h);
    /// @dev `amount` is what was paid now.
    event PayoutClaimed(bytes32 indexed federation, uint32 participant, address payout, uint128 amount, bytes32 h);
    event Refunded(bytes32 indexed federation, address creator, uint128 amount, bytes32 h);
    /// @dev The bond has become a credit that `withdrawBond` pays.
    event BondReturned(bytes32 indexed federation, address proposer, uint128 amount, bytes32 h);
    /// @dev `amount` is all that was credited to the proposer since it last withdrew.
    event BondWithdrawn(bytes32 indexed federation, address proposer, uint128 amount, bytes32 h);
    event Checkpoint(bytes32 indexed federation, bytes32 h);

    /// @notice No federation has this id.
    error UnknownFederation(bytes32 federation);
    /// @notice The creator has created a federation of this policy and salt before.
    error FederationExists(bytes32 federation);
    /// @notice The policy cannot be enforced. @param key The header's field in ASCII, or of several: common, windows, exponents,
    /// relay, fees.
    error PolicyRefused(bytes32 key);
    /// @notice The result header does not follow from the federation's state. @param key The header's field in ASCII, or common.
    error HeaderRefused(bytes32 key);
    /// @notice The transaction's ether is not what is due.
    error WrongValue(uint256 expected, uint256 sent);
    /// @notice The token moved another amount than it was asked to.
    error TransferIncomplete(uint256 expected, uint256 received);
    /// @notice The address did not take the ether.
    error EtherRefused(address to);
    /// @notice The call belongs to another phase of the round.
    error WrongPhase(Phase expected, Phase actual);
    /// @notice The federation has ended.
    error HasEnded();
    /// @notice The call names another round than the current one.
    error WrongRound(uint32 expected, uint32 given);
    /// @notice The vote names another attempt than the current one.
    error WrongAttempt(uint8 expected, uint8 given);
    /// @notice The vote names another result than the standing proposal.
    error WrongResult(bytes32 expected, bytes32 given);
    /// @notice The phase is over; `advance` moves on.
    error DeadlinePassed(uint40 deadline);
    /// @notice The address is not the signer of a seat in the round.
    error NotSeated(address signer, uint32 round);
    error AlreadyCommitted(uint32 participant, uint32 round);
    error AlreadyVoted(uint32 participant, uint32 round, uint8 attempt);
    /// @notice It is another participant's turn to propose. @param participant The one whose turn it is.
    error NotInTurn(uint32 participant);
    error FederationFull(uint32 maxParticipants);
    error ZeroAddress();
    /// @notice The address is, or was, a signer in this federation.
    error SignerTaken(address signer);
    /// @notice The address controls a participant of this federation already.
    error ControllerTaken(address controller);
    /// @notice The creator did not sign this invitation, or the federation is open and takes none.
    error InvitationRefused();
    error InvitationExpired(uint64 expires);
    /// @notice The sum of all weights would reach 2^31.
    error WeightOverflow(uint256 sum);
    error UnknownParticipant(uint32 participant);
    error NotController(address controller);
    error AlreadyLeft(uint32 participant);
    /// @notice The participant has a seat still, or a round that it had one in is neither settled nor void.
    error StakeLocked(uint32 participant);
    /// @notice No deadline has passed and no result can be settled.
    error NothingToDo();
    /// @notice The federation may not be closed before `until`, nor while its standing proposal is voted on or would be accepted by
    /// `advance`.
    error NotIdle(uint40 until);
    /// @notice The leaf is not in the payout tree of the claimable result.
    error InvalidProof();
    error NothingToClaim(uint32 participant);
    /// @notice The pool is locked until the last result has settled.
    error RefundLocked();
    error NothingToRefund();
    error NothingToWithdraw(address account);

    /// @notice Create a federation and fund its pool: `policy.pool` in ether with the call, or in `policy.token`, which is
    /// pulled from the caller.
    /// @param policy What the contract enforces; refused if it cannot.
    /// @param salt Lets one creator have several federations of one policy.
    /// @return federation keccak256(abi.encode(chain id, this contract, creator, sha256(abi.encode(policy)), salt)).
    function createFederation(PolicyHeader calldata policy, bytes32 salt) external payable returns (bytes32 federation);

    /// @notice Join with the policy's stake in ether; the caller becomes the controller. The seat starts with the next round.
    /// The join that reaches `startParticipants` opens round 0.
    /// @param signer Hot key that commits, proposes and votes.
    /// @param payout Address that payouts go to.
    /// @param identity Digest of the record that says who this is.
    /// @param datasetRoot Root of the salted Merkle tree of the participant's rows.
    /// @param rows Number of rows; its weight, capped, as the creator attests it.
    /// @param expires Time after which the invitation does not hold; ignored in an open federation.
    /// @param invitation The creator's EIP-712 signature (ERC-1271 too) of `Invitation(bytes32 federation,address controller,
    /// bytes32 identity,bytes32 datasetRoot,uint32 dataset,uint32 rows,uint64 expires)` under the domain
    /// ("FedNode Federations", "1"), `dataset` being 0; empty in an open federation.
    function join(
        bytes32 federation,
        address signer,
        address payout,
        bytes32 identity,
        bytes32 datasetRoot,
        uint32 rows,
        uint64 expires,
        bytes calldata invitation
    ) external payable;

    /// @notice Give up the seat from the next round on. By the controller.
    function leave(bytes32 federation, uint32 participant) external;

    /// @notice Replace the signer at once, in the current round too. By the controller.
    function rotateSigner(bytes32 federation, uint32 participant, address signer) external;

    /// @notice Append to the list of data-set commitments; it weighs from the next round on. By the controller.
    /// @param invitation The creator's signature as in `join`, with the identity that the participant joined with;
    /// `dataset` is the index that the commitment gets in the participant's list, so that no signature holds twice.
    function commitDataset(
        bytes32 federation,
        uint32 participant,
        bytes32 root,
        uint32 rows,
        uint64 expires,
        bytes calldata invitation
    ) external;

    /// @notice Pay the stake back to the controller, who calls: once it has left or the federation has ended, and every round
    /// that it had a seat in is settled or void.
    function withdrawStake(bytes32 federation, uint32 participant) external;

    /// @notice Commit to an update of the current round. By the signer of a seat, once a round. The last seat's commit
    /// closes the phase if there are `leastUpdates`.
    /// @param digest sha-256 of the update header.
    function commitUpdate(bytes32 federation, uint32 round, bytes32 digest) external;

    /// @notice Propose a result, with the policy's bond in ether. By the signer of the participant whose turn it is, which is
    /// (round + attempt) mod (participants known when the round was opened); by anybody if that one has no seat in the
    /// round or if a turn of this round was missed.
    /// @param index Digest of the record that says where the result's bytes are.
    function proposeResult(bytes32 federation, ResultHeader calldata header, bytes32 index) external payable;

    /// @notice Vote for or against the standing proposal. By the signer of a seat, once an attempt. A quorum accepts or
    /// rejects in the same transaction.
    function vote(bytes32 federation, uint32 round, uint8 attempt, bytes32 result, bool support) external;

    /// @notice Do everything that is due: the passing of a deadline, and up to 16 settlements. By anybody.
    function advance(bytes32 federation) external;

    /// @notice End a federation in which nothing has been accepted for the idle window (counted from the opening of round 0
    /// before the first acceptance, and from creation before that); its head becomes the end of a reward period. Not while a
    /// proposal is voted on, nor while `advance` would accept it. By anybody.
    function close(bytes32 federation) external;

    /// @notice Emit the history accumulator unchanged. By anybody.
    function checkpoint(bytes32 federation) external;

    /// @notice Pay a participant what its leaf exceeds its earlier payouts by. By anybody, to the payout address.
    /// @param amount Cumulative amount in the participant's leaf of the claimable result's payout tree.
    /// @param hashes Hashes of the siblings, from the leaf up.
    /// @param sums Sums of the siblings, from the leaf up.
    function claim(
        bytes32 federation,
        uint32 participant,
        uint128 amount,
        bytes32[] calldata hashes,
        uint256[] calldata sums
    ) external;

    /// @notice Pay the creator what the payouts leave of the pool, once the last result has settled. By anybody.
    function refund(bytes32 federation) external;

    /// @notice Pay the caller the bonds that were returned to it.
    function withdrawBond(bytes32 federation) external;

    /// @notice State of a federation.
    function federationOf(bytes32 federation) external view returns (FederationView memory);

    /// @notice The participant of this index.
    function participantOf(bytes32 federation, uint32 participant) external view returns (ParticipantView memory);

    /// @notice An entry of a participant's list of data-set commitments.
    function datasetOf(bytes32 federation, uint32 participant, uint32 dataset) external view returns (Dataset memory);

    /// @notice What is kept of a result; status None if there is none of this digest.
    function resultOf(bytes32 federation, bytes32 result) external view returns (Result memory);

    /// @notice Digest of the accepted result of this height (the first has height 1), or zero.
    function resultAt(bytes32 federation, uint32 height) external view returns (bytes32);

    /// @notice keccak256(abi.encode(update digest, commit slot)) of a participant's commit in a round, or zero.
    function commitOf(bytes32 federation, uint32 round, uint32 participant) external view returns (bytes32);

    /// @notice Bonds that `withdrawBond` would pay to an account.
    function creditOf(bytes32 federation, address account) external view returns (uint256);

    /// @notice The history accumulator.
    function accumulator(bytes32 federation) external view returns (bytes32);
}
