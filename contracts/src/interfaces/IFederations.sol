// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../Headers.sol";
import {Target} from "../verifier/Types.sol";

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

/// @notice What somebody who joins says of itself.
/// @param controller Account that rotates the signer, amends the data set and leaves; it calls, or has signed `Join`.
/// @param signer Hot key that commits, proposes and votes.
/// @param payout Address that payouts and fees go to.
/// @param identity Digest of the record that says who this is.
/// @param key X25519 key that sealed artefacts are encrypted to; zero where nothing is sealed.
/// @param datasetRoot Root of the salted Merkle tree of the participant's rows.
/// @param rows Number of rows; its weight, capped, as the creator attests it.
/// @param expires Time after which the invitation does not hold; ignored in an open federation.
struct Application {
    address controller;
    address signer;
    address payout;
    bytes32 identity;
    bytes32 key;
    bytes32 datasetRoot;
    uint32 rows;
    uint64 expires;
}

/// @notice A vote that was signed and not sent: the EIP-2098 form of the signature.
struct Ballot {
    bool support;
    bytes32 r;
    bytes32 vs;
}

/// @notice A node beside the path from a leaf to the root of a Merkle-sum tree.
struct Sibling {
    bytes32 hash;
    uint256 sum;
}

/// @notice A participant's leaf of the payout tree, and its path from the leaf up.
/// @dev Whole words, since no tree that is claimed from holds what is wider than a leaf's fields.
/// @param amount Cumulative amount in the leaf.
struct Claim {
    uint256 participant;
    uint256 amount;
    Sibling[] path;
}

/// @notice A federation's state, for readers.
/// @param lastRound Number of the newest round; the current one is older after a result was disproved.
/// @param seats Seats in the current round: of all participants while it commits, of its committee once a result was proposed.
/// @param known Participants known when the round was opened: the leaves of the round's values and payout trees.
/// @param commits Direct commits; the batch has `batched` more.
/// @param deadline End of the current phase: commit, propose or attest.
/// @param turnMissed Whether a turn of this round was missed, so that anybody may propose.
/// @param head Digest of the newest accepted result, of height `headHeight`; zero before the first.
/// @param standing Digest of the proposal voted on in phase Attest.
/// @param lastAccepted Time of the last acceptance; before the first, of the opening of round 0 or of creation.
/// @param paid Sum of the payouts claimed so far.
/// @param fees Sum of the fees earned so far, withdrawn or not.
struct FederationView {
    Phase phase;
    uint32 round;
    uint32 lastRound;
    uint8 attempt;
    uint32 seats;
    uint32 known;
    uint32 commits;
    uint32 batched;
    uint40 deadline;
    bool turnMissed;
    bytes32 head;
    uint32 headHeight;
    uint32 settledHeight;
    bytes32 standing;
    uint40 lastAccepted;
    uint32 joined;
    uint32 active;
    address creator;
    address token;
    uint128 pool;
    uint128 paid;
    uint128 fees;
    bool refunded;
}

/// @notice A participant, for readers. It has a seat in the rounds from `activeFrom` to `activeUntil - 1`.
/// @param datasets Length of its list of data-set commitments.
/// @param stake What is left of its stake.
/// @param leftAt When it left, was slashed, or lost its seat for want of a stake; zero before.
/// @param paid Payouts received so far.
struct ParticipantView {
    address signer;
    address controller;
    address payout;
    bytes32 identity;
    uint32 datasets;
    uint32 activeFrom;
    uint32 activeUntil;
    bool slashed;
    uint128 stake;
    uint40 leftAt;
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

/// @notice What the contract keeps of a result, for readers.
/// @param known Participants known when its round was opened: the payout tree has as many leaves.
/// @param challengeDeadline Until when it may be challenged; of a settled result, when it settled; of a rejected one with open proof
/// commitments, until when these may be opened.
/// @param challenges Challenges opened so far, of which the first `resolved` are over.
/// @param ballots Bit p: place p of the committee voted for it; bit 128 + p: against.
/// @param proofs Proof commitments that are neither opened nor over.
/// @param held Whether the result was rejected and its bond is not released yet.
/// @param proven Whether a proof against it was opened.
struct Result {
    bytes32 payouts;
    uint128 payoutTotal;
    address proposer;
    uint32 round;
    uint8 attempt;
    uint32 height;
    uint32 known;
    uint40 challengeDeadline;
    uint32 challenges;
    uint32 resolved;
    Status status;
    bool stop;
    uint256 ballots;
    uint32 proofs;
    bool held;
    bool proven;
}

/// @title A ledger that holds any number of federations
/// @notice Nobody has a key that can take, freeze or change: a federation's policy is fixed when it is created.
/// @dev Every event of a federation has exactly the topics [signature, federation], its data are static words, and the
/// last word is the history accumulator after it: `h' = keccak256(h ++ timestamp ++ topic0 ++ data without its last word)`,
/// h = 0 before the first, `timestamp` as a 32-byte word. `Checkpoint` alone leaves h unchanged.
///
/// A phase lasts while `block.timestamp < deadline`; from `deadline` on it is over, and `advance` does what is due.
///
/// WARNING: stakes, bonds and what is slashed are ether, whatever the pool is paid in; fees are in the pool's currency.
/// WARNING: a token that takes fees on transfer, rebases or can pause strands or shortens the pools paid in it, nothing else.
/// Fees on transfer are refused; the others cannot be seen.
/// WARNING: ether goes to the payout address, controller, creator or creditor by a plain call; an address that refuses it
/// keeps its own money here, and nobody else's.
/// WARNING: what nobody can prove (whether bytes could be had, what a model scored) is judged by the committee's votes, not by
/// this contract.
/// WARNING: whoever makes the chain's blocks can choose among the hashes that draw a committee, by withholding a block.
/// WARNING: a proposer, and every voter for a result, answers for it with bond and stake until its challenge window ends. If the result
/// falls before, and a proof was committed to by then, they answer for it until one answer window after the fall.
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
        bytes32 key,
        bytes32 datasetRoot,
        uint32 rows,
        bytes32 h
    );
    event ParticipantLeft(bytes32 indexed federation, uint32 participant, bytes32 h);
    /// @dev From the next round on.
    event SignerRotated(bytes32 indexed federation, uint32 participant, address signer, bytes32 h);
    event KeyRegistered(bytes32 indexed federation, uint32 participant, bytes32 key, bytes32 h);
    event DatasetCommitted(
        bytes32 indexed federation, uint32 participant, uint32 dataset, bytes32 root, uint32 rows, bytes32 h
    );
    /// @dev `erasure` is the digest of the record that says what was destroyed, or zero.
    event DatasetAmended(
        bytes32 indexed federation,
        uint32 participant,
        uint32 dataset,
        bytes32 root,
        uint32 rows,
        bytes32 erasure,
        bytes32 h
    );
    event StakeWithdrawn(bytes32 indexed federation, uint32 participant, uint128 amount, bytes32 h);
    event RoundOpened(bytes32 indexed federation, uint32 round, bytes32 parent, uint32 seats, uint40 commitDeadline, bytes32 h);
    /// @dev The seed that draws the round's committee, the low bits of a block's hash. Only where not everybody fits in, and where the
    /// round does not keep the committee of a void one: see `Rounds.openNext`.
    event SeedDrawn(bytes32 indexed federation, uint32 round, bytes32 seed, bytes32 h);
    /// @dev `leaves` signed commits under `root`: the round's slots from 0 on. `index` lists the blocks that they lie in.
    event BatchPosted(bytes32 indexed federation, uint32 round, bytes32 root, uint32 leaves, bytes32 index, bytes32 h);
    /// @dev The commit's slot is the number of batched commits plus `order`.
    event UpdateCommitted(
        bytes32 indexed federation, uint32 round, uint32 order, uint32 participant, bytes32 digest, bytes32 h
    );
    event CommitClosed(
        bytes32 indexed federation, uint32 round, uint32 slots, uint40 revealDeadline, uint40 proposeDeadline, bytes32 h
    );
    /// @dev Whether `account` is the holder of the evaluation rows, and `digest` that of the round's slice, is the policy's to say.
    event SliceOpened(bytes32 indexed federation, uint32 round, address account, bytes32 digest, bytes32 h);
    /// @dev `attempt` is the one that was missed; the round goes on with `attempt + 1` until `proposeDeadline`, or, if that
    /// is zero, is voided next.
    event TurnMissed(bytes32 indexed federation, uint32 round, uint8 attempt, uint40 proposeDeadline, bytes32 h);
    /// @dev `proposer` pays the bond; `signer` proposes.
    event ResultProposed(
        bytes32 indexed federation,
        uint32 round,
        uint8 attempt,
        address proposer,
        address signer,
        bytes32 result,
        bytes32 index,
        uint40 attestDeadline,
        uint40 challengeDeadline,
        bytes32 h
    );
    /// @dev The ballots cast now. Bit p: place p for the result; bit 128 + p: against it.
    event Voted(bytes32 indexed federation, uint32 round, uint8 attempt, bytes32 result, uint256 ballots, bytes32 h);
    event ResultAccepted(bytes32 indexed federation, uint32 round, bytes32 result, uint32 height, bytes32 h);
    /// @dev By votes. `attempt` is the one that was rejected; the round goes on with `attempt + 1` until `proposeDeadline`, or,
    /// if that is zero, is voided next. The proposer's bond is credited, unless proof commitments are open: then it waits for
    /// `releaseBond`.
    event ResultRejected(
        bytes32 indexed federation, uint32 round, uint8 attempt, bytes32 result, uint40 proposeDeadline, bytes32 h
    );
    event RoundVoided(bytes32 indexed federation, uint32 round, bytes32 h);
    event ResultSettled(bytes32 indexed federation, bytes32 result, uint32 height, bytes32 h);
    /// @dev The payouts of `result` are claimable from now on.
    event PeriodEnded(bytes32 indexed federation, bytes32 result, bytes32 payouts, uint128 total, bytes32 h);
    /// @dev No round opens any more (unless the last result is disproved): all rounds done, a result said stop, or `close` after
    /// the idle window.
    event FederationEnded(bytes32 indexed federation, bool idle, bytes32 h);

    /// @dev Challenges to a result are numbered from 0 in each attempt. Proof and demand of one number are steps of one challenge.
    event ProofCommitted(
        bytes32 indexed federation,
        bytes32 result,
        uint8 attempt,
        uint32 challenge,
        address challenger,
        bytes32 commitment,
        bytes32 h
    );
    event DemandOpened(
        bytes32 indexed federation,
        bytes32 result,
        uint8 attempt,
        uint32 challenge,
        address challenger,
        uint8 kind,
        bytes32 root,
        uint256 total,
        uint32 size,
        uint8 level,
        uint32 position,
        bytes32 h
    );
    event DemandAnswered(
        bytes32 indexed federation, bytes32 result, uint8 attempt, uint32 challenge, address answerer, bytes32 h
    );
    /// @dev The challenger gave in after an answer: `fee` goes to the account that answered last, an eighth of the bond is burned, the rest
    /// returns.
    event ChallengeConceded(
        bytes32 indexed federation, bytes32 result, uint8 attempt, uint32 challenge, uint128 fee, bytes32 h
    );
    /// @dev Half of its bond goes to who answered last, or, for a proof that was never opened, to the proposer; half is burned.
    event ChallengeFailed(bytes32 indexed federation, bytes32 result, uint8 attempt, uint32 challenge, bytes32 h);
    /// @dev `kind` is the proof's, or 0 for a demand that nobody answered. The head becomes the result's parent; the round goes on
    /// with `attempt + 1` until `proposeDeadline`, or, if that is zero, is voided next.
    event ResultDisproved(
        bytes32 indexed federation,
        uint32 round,
        uint8 attempt,
        bytes32 result,
        uint32 challenge,
        uint8 kind,
        uint40 proposeDeadline,
        bytes32 h
    );
    /// @dev A proof of `kind` against an attempt that had fallen before: its voters pay, and its proposer if its bond was still here. The
    /// lineage stays as it is.
    event FallenDisproved(
        bytes32 indexed federation, bytes32 result, uint8 attempt, uint32 challenge, uint8 kind, bytes32 h
    );
    /// @dev The bond of a challenge whose result was rejected for another reason, or whose round became void.
    event ChallengeReclaimed(bytes32 indexed federation, bytes32 result, uint8 attempt, uint32 challenge, bytes32 h);
    /// @dev The bond of a proposal whose round became void, or that was held after a rejection; less the rejection fee, if it owes one.
    event BondReleased(bytes32 indexed federation, bytes32 result, uint8 attempt, address proposer, bytes32 h);
    /// @dev A settled result says that what the participant committed to could not be had.
    event UnavailableCharged(bytes32 indexed federation, uint32 participant, uint32 round, uint128 amount, bytes32 h);

    /// @dev `amount` is what was paid now.
    event PayoutClaimed(bytes32 indexed federation, uint32 participant, address payout, uint128 amount, bytes32 h);
    event Refunded(bytes32 indexed federation, address creator, uint128 amount, bytes32 h);
    /// @dev The fees of a participant's votes, credited to its payout address.
    event FeesCollected(bytes32 indexed federation, uint32 participant, uint128 amount, bytes32 h);
    /// @dev All the ether that was credited to the account, and all of the pool's currency, or none of it if the token fails.
    event Withdrawn(bytes32 indexed federation, address account, uint128 ethers, uint128 fees, bytes32 h);
    event Checkpoint(bytes32 indexed federation, bytes32 h);
    /// @dev Bytes that a dispute may need and nobody may hide behind a contract of its own: the header of a proposed result, or
    /// what answered a demand. Not taken into the accumulator, which has their digests.
    event Evidence(bytes32 indexed result, bytes data);

    /// @notice No federation has this id.
    error UnknownFederation(bytes32 federation);
    /// @notice The creator has created a federation of this policy and salt before.
    error FederationExists(bytes32 federation);
    /// @notice The policy cannot be enforced. @param key The header's field in ASCII, or of several: common, windows, exponents,
    /// amounts.
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
    /// @notice The phase, or the part of it that the call belongs to, is over; `advance` moves on.
    error DeadlinePassed(uint40 deadline);
    /// @notice Where a slice of rows may still be opened, nothing is proposed before `from`. While proofs against a result that fell may
    /// still be opened, its bond is not released and no commitment to one is given up.
    error TooEarly(uint40 from);
    /// @notice The address is not the signer of a seat in the round, or its seat was not drawn.
    error NotSeated(address signer, uint32 round);
    /// @notice Who was drawn to a place that was said to be vacant is still there.
    error NotVacant(uint256 place);
    error AlreadyCommitted(uint32 participant, uint32 round);
    error AlreadyVoted(uint32 participant, uint32 round, uint8 attempt);
    /// @notice The hash that draws the committee cannot be had: yet, in the block that opened the round; any more, after 256 blocks.
    error NoSeed(uint256 openedBlock);
    /// @notice It is another participant's turn to propose. @param participant The one whose turn it is.
    error NotInTurn(uint32 participant);
    /// @notice Only the policy's relay posts batches.
    error NotRelay(address relay);
    /// @notice The round has a batch already, or the batch has no leaves or more than there are participants.
    error BatchRefused();
    error FederationFull(uint32 maxParticipants);
    error ZeroAddress();
    /// @notice The address is, or was, a signer in this federation.
    error SignerTaken(address signer);
    /// @notice The address controls a participant of this federation already.
    error ControllerTaken(address controller);
    /// @notice The controller has neither called nor signed.
    error ConsentRefused(address controller);
    /// @notice The creator did not sign this invitation, or the federation is open and takes none.
    error InvitationRefused();
    error InvitationExpired(uint64 expires);
    /// @notice An amendment takes rows away; more than are attested need an invitation.
    error RowsNotAttested(uint32 attested);
    /// @notice The sum of all weights would reach 2^31.
    error WeightOverflow(uint256 sum);
    error UnknownParticipant(uint32 participant);
    error NotController(address controller);
    error AlreadyLeft(uint32 participant);
    /// @notice The participant has a seat still, a round that it had one in is neither settled nor void, its unbonding time is not over, or
    /// proofs against results that fell may still be opened.
    error StakeLocked(uint32 participant);
    /// @notice No deadline has passed and no result can be settled.
    error NothingToDo();
    /// @notice The federation may not be closed before `until`, nor while its standing proposal is voted on or would be accepted by
    /// `advance`.
    error NotIdle(uint40 until);
    /// @notice The result does not stand, or its challenge window has ended.
    error NotChallengeable(bytes32 result);
    /// @notice The challenge does not wait for this: it is over, it waits for somebody else, or its clock has run out.
    error ChallengeNotOpen(uint32 challenge);
    error NotChallenger(address challenger);
    /// @notice A proof is opened in a later block than it was committed in, and is what was committed to.
    error CommitmentMismatch();
    /// @notice The challenge has had all the steps that one bond buys.
    error TooManySteps();
    /// @notice The proof is well formed, and what it is about is as it should be.
    error NothingWrong();
    /// @notice Not what the open demand asks for.
    error AnswerRefused();
    /// @notice The evidence does not show an update that the settled result calls unavailable, or it was charged before.
    error NothingToCharge();
    /// @notice The leaf is not in the payout tree of the newest reward period that has ended.
    error InvalidProof();
    error NothingToClaim(uint32 participant);
    /// @notice The transaction has too little gas left to give a payee its share.
    error GasTooLow();
    /// @notice The pool is locked until the last result has settled.
    error RefundLocked();
    error NothingToRefund();
    /// @notice Nothing is owed to the account, or nothing that its currency can be made to pay now.
    error NothingToWithdraw(address account);

    /// @notice Create a federation and fund its pool: `policy.pool` in ether with the call, or in `policy.token`, which is
    /// pulled from the caller.
    /// @param policy What the contract enforces; refused if it cannot.
    /// @param salt Lets one creator have several federations of one policy.
    /// @param ancestor ABI bytes of the header of the settled result that the federation goes on from; empty without an ancestor.
    /// @return federation keccak256(abi.encode(chain id, this contract, creator, sha256(abi.encode(policy)), salt)).
    function createFederation(PolicyHeader calldata policy, bytes32 salt, bytes calldata ancestor)
        external
        payable
        returns (bytes32 federation);

    /// @notice Join with the policy's stake in ether, which the controller gets back. The seat starts with the next round.
    /// The join that reaches `startParticipants` opens round 0.
    /// @param invitation The creator's EIP-712 signature, by its key or else by ERC-1271 with a fixed amount of gas, of
    /// `Invitation(bytes32 federation,address controller,bytes32 identity,bytes32 datasetRoot,uint32 dataset,uint32 rows,uint64 expires)` under the domain
    /// ("FedNode Federations", "1"), `dataset` being 0; empty in an open federation.
    /// @param consent Empty if the controller calls; else its EIP-712 signature, in the same way, of `Join(bytes32 federation,
    /// address signer,address payout,bytes32 identity,bytes32 key,bytes32 datasetRoot,uint32 rows)`.
    function join(bytes32 federation, Application calldata application, bytes calldata invitation, bytes calldata consent)
        external
        payable;

    /// @notice Give up the seat from the next round on. By the controller.
    function leave(bytes32 federation, uint32 participant) external;

    /// @notice Replace the signer from the next round on. By the controller.
    function rotateSigner(bytes32 federation, uint32 participant, address signer) external;

    /// @notice Replace the key that sealed artefacts are encrypted to. By the controller.
    function registerKey(bytes32 federation, uint32 participant, bytes32 key) external;

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

    /// @notice Append a data-set commitment of no more rows than are attested; it weighs from the next round on. By the controller.
    /// @param erasure Digest of the record of what was destroyed, or zero.
    function amendDataset(bytes32 federation, uint32 participant, bytes32 root, uint32 rows, bytes32 erasure) external;

    /// @notice Pay what is left of the stake back to the controller: once the participant has left or the federation has ended, every
    /// round that it had a seat in is settled or void, and since then the unbonding window is over. Not in the answer window that follows
    /// the fall of an accepted result, or of another one to which proof commitments are open. By anybody.
    function withdrawStake(bytes32 federation, uint32 participant) external;

    /// @notice Commit to an update of the current round. By the signer of a seat, once a round. The last seat's commit
    /// closes the phase if there are `leastUpdates`.
    /// @param digest sha-256 of the update header.
    function commitUpdate(bytes32 federation, uint32 round, bytes32 digest) external;

    /// @notice Post the root over the commits that participants signed (`Commit(bytes32 federation,uint32 round,uint32 participant,
    /// bytes32 digest)`). By the policy's relay, once a round, within the batch window.
    /// @param root RFC 6962 root over `leaves` leaves abi.encode(uint32 participant, bytes32 digest, bytes32 r, bytes32 vs).
    /// @param index Digest of the dag-cbor index of the blocks that the leaves lie in.
    function postBatch(bytes32 federation, uint32 round, bytes32 root, uint32 leaves, bytes32 index) external;

    /// @notice Announce the slice of evaluation rows that the round is measured on: after the commits, before the reveal deadline.
    /// By anybody; whose word counts is the policy's to say.
    function openSlice(bytes32 federation, uint32 round, bytes32 digest) external;

    /// @notice Propose a result, with the policy's bond in ether. By the signer of the participant whose turn it is, which is
    /// (round + attempt) mod (participants known when the round was opened), or the next one's that has a seat in the round;
    /// by anybody if none of 16 has, or if a turn of this round was missed. Where the policy measures on slices, not before the reveal deadline.
    /// @param index Digest of the record that says where the result's bytes are.
    /// @param signature Empty if the proposer calls; else its signature of `Proposal(bytes32 federation,uint32 round,uint8 attempt,
    /// bytes32 result,bytes32 index)`. The caller pays the bond, gets it back, and earns the fee.
    function proposeResult(
        bytes32 federation,
        ResultHeader calldata header,
        bytes32 index,
        bytes calldata signature
    ) external payable;

    /// @notice Vote for or against the standing proposal. By the signer of a seat of the committee, once an attempt. A quorum
    /// accepts or rejects in the same transaction.
    /// @param vacant Bit p: whoever was drawn to place p has left, so that a place behind it has a seat. Each is looked up; needed
    /// by who votes from a place behind the first ones alone.
    function vote(bytes32 federation, uint32 round, uint8 attempt, bytes32 result, uint128 vacant, bool support)
        external;

    /// @notice Post votes that were signed (`Vote(bytes32 federation,uint32 round,uint8 attempt,bytes32 result,bool support)`), by
    /// anybody. Votes cast before are skipped.
    /// @param vacant As for `vote`; nobody signs it.
    function postVotes(
        bytes32 federation,
        uint32 round,
        uint8 attempt,
        bytes32 result,
        uint128 vacant,
        Ballot[] calldata ballots
    ) external;

    /// @notice Do everything that is due: the draw of a committee's seed, the passing of a deadline, and up to 16 settlements. By
    /// anybody.
    function advance(bytes32 federation) external;

    /// @notice End a federation in which nothing has been accepted for the idle window (counted from the opening of round 0
    /// before the first acceptance, and from creation before that); its head becomes the end of a reward period. Not while a
    /// proposal is voted on, nor while `advance` would accept it. By anybody.
    function close(bytes32 federation) external;

    /// @notice Emit the history accumulator unchanged. By anybody.
    function checkpoint(bytes32 federation) external;

    /// @notice Challenge a result that is not settled: commit to a proof, with the challenge bond in ether. By anybody.
    /// @param commitment keccak256(abi.encode(challenger, keccak256(proof), salt)).
    function commitProof(bytes32 federation, bytes32 result, bytes32 commitment) external payable;

    /// @notice Challenge a result that is not settled: demand bytes that it rests on, with the challenge bond in ether. By anybody.
    /// @param evidence What leads from the result to the demanded place; see `Verifier`.
    function demand(bytes32 federation, bytes32 result, bytes calldata evidence) external payable;

    /// @notice Open what a demand asks for. By anybody.
    function answer(bytes32 federation, bytes32 result, uint32 challenge, Target calldata target, bytes calldata data)
        external;

    /// @notice After an answer, commit to a proof under the same bond. By the challenger.
    function recommitProof(bytes32 federation, bytes32 result, uint32 challenge, bytes32 commitment) external;

    /// @notice After an answer, demand what lies below under the same bond. By the challenger.
    function redemand(bytes32 federation, bytes32 result, uint32 challenge, bytes calldata evidence) external;

    /// @notice After an answer, end the challenge: its bond returns, less an eighth, which is burned, and less what the last account that
    /// answered gets for its answers: their gas at the base fee of their blocks, at most a thirty-second of the bond for each. By the
    /// challenger, before its clock runs out.
    function concede(bytes32 federation, bytes32 result, uint32 challenge) external;

    /// @notice Open a committed proof. By the challenger, in a later block. If it holds, the result is rejected, and proposer and
    /// voters pay. They pay as well if the attempt has fallen since the commitment: voted down, for want of votes, by another challenge,
    /// with what it was built on, or because the federation was closed. This holds for one answer window from the fall on, also if the
    /// same header is proposed again meanwhile.
    function openProof(
        bytes32 federation,
        bytes32 result,
        uint8 attempt,
        uint32 challenge,
        bytes calldata proof,
        bytes32 salt
    ) external;

    /// @notice Do what follows when the clock of a result's first open challenge has run out: an unanswered demand rejects the result,
    /// anything else fails. By anybody.
    function expireChallenge(bytes32 federation, bytes32 result) external;

    /// @notice End a challenge to an attempt that fell. A demand's bond is credited to its challenger, a proof's too if another proof was
    /// opened. Otherwise, once proofs may not be opened any more, half of it is credited to the proposer, and half burned. By anybody.
    function reclaimChallenge(bytes32 federation, bytes32 result, uint8 attempt, uint32 challenge) external;

    /// @notice Credit the bond of a proposal whose round became void, or that is held after a rejection: once no proof against it may be
    /// opened any more. By anybody.
    function releaseBond(bytes32 federation, bytes32 result, uint8 attempt) external;

    /// @notice Charge the stake of a participant whose update a settled result calls unavailable. By anybody; the fee is burned. Whose
    /// stake would not cover another one loses its seat from the next round on.
    /// @param evidence Opens the entry in the result's nodes; see `Verifier`.
    function chargeUnavailable(bytes32 federation, bytes32 result, bytes calldata evidence) external;

    /// @notice Pay participants what their leaves exceed their earlier payouts by, in the pool's currency. By anybody, to the payout
    /// addresses. Of several, each may use a fixed amount of gas, and one that refuses, or has nothing to claim, is passed over: its payout
    /// stays due. Reverts with `InvalidProof`, and where nothing was paid with `NothingToClaim`, or `EtherRefused` by a payout address.
    /// @param leaves Leaves of the payout tree: the participants known to its result.
    function claim(bytes32 federation, uint256 leaves, Claim[] calldata claims) external;

    /// @notice Pay the creator what payouts and fees leave of the pool, once the last result has settled. By anybody.
    function refund(bytes32 federation) external;

    /// @notice Credit the fees of a participant's votes on settled results to its payout address. By anybody.
    function collectFees(bytes32 federation, uint32 participant, bytes32[] calldata results) external;

    /// @notice Pay an account all that was credited to it. What a token fails to pay stays credited, and does not hold back the ether.
    /// By anybody.
    function withdraw(bytes32 federation, address account) external;

    /// @notice State of a federation.
    function federationOf(bytes32 federation) external view returns (FederationView memory);

    /// @notice The participant of this index.
    function participantOf(bytes32 federation, uint32 participant) external view returns (ParticipantView memory);

    /// @notice An entry of a participant's list of data-set commitments.
    function datasetOf(bytes32 federation, uint32 participant, uint32 dataset) external view returns (Dataset memory);

    /// @notice What is kept of a result, in its newest attempt; status None if there is none of this digest.
    function resultOf(bytes32 federation, bytes32 result) external view returns (Result memory);

    /// @notice What is kept of a result in an attempt. Of an earlier one than the newest that is nothing, unless proof commitments were
    /// open, or its bond was held, when the same header was proposed again.
    function attemptOf(bytes32 federation, bytes32 result, uint8 attempt) external view returns (Result memory);

    /// @notice Digest of the accepted result of this height (the first has height 1), or zero.
    function resultAt(bytes32 federation, uint32 height) external view returns (bytes32);

    /// @notice keccak256(abi.encode(update digest, order)) of a participant's direct commit in a round, or zero.
    function commitOf(bytes32 federation, uint32 round, uint32 participant) external view returns (bytes32);

    /// @notice Ether, and the pool's currency, that `withdraw` would pay to an account.
    function creditOf(bytes32 federation, address account) external view returns (uint256 ethers, uint256 fees);

    /// @notice The history accumulator.
    function accumulator(bytes32 federation) external view returns (bytes32);
}
