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

/// @title A ledger that holds any number of federations
/// @dev Every event of a federation has exactly the topics [signature, federation], its data are static words, and the
/// last word is the history accumulator after it: `h' = keccak256(h ++ timestamp ++ topic0 ++ data without its last word)`,
/// h = 0 before the first, `timestamp` as a 32-byte word. `Checkpoint` alone leaves h unchanged.
interface IFederations {
    event FederationCreated(bytes32 indexed federation, address creator, bytes32 policy, bytes32 salt, uint256 pool, bytes32 h);
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
    event DatasetCommitted(bytes32 indexed federation, uint32 participant, uint32 dataset, bytes32 root, uint32 rows, bytes32 h);
    event StakeWithdrawn(bytes32 indexed federation, uint32 participant, uint128 amount, bytes32 h);
    event RoundOpened(bytes32 indexed federation, uint32 round, bytes32 parent, uint32 seats, uint40 commitDeadline, bytes32 h);
    event UpdateCommitted(bytes32 indexed federation, uint32 round, uint32 slot, uint32 participant, bytes32 digest, bytes32 h);
    event CommitClosed(
        bytes32 indexed federation, uint32 round, uint32 commits, uint40 revealDeadline, uint40 proposeDeadline, bytes32 h
    );
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
        bytes32 indexed federation, uint32 round, uint8 attempt, uint32 participant, bytes32 result, bool support, bytes32 h
    );
    event ResultAccepted(bytes32 indexed federation, uint32 round, bytes32 result, uint32 height, bytes32 h);
    /// @dev `attempt` is the one that was rejected; the round goes on with `attempt + 1` until `proposeDeadline`, or is voided next.
    event ResultRejected(
        bytes32 indexed federation, uint32 round, uint8 attempt, bytes32 result, uint40 proposeDeadline, bytes32 h
    );
    event RoundVoided(bytes32 indexed federation, uint32 round, bytes32 h);
    event ResultSettled(bytes32 indexed federation, bytes32 result, uint32 height, bytes32 h);
    /// @dev The payouts of `result` are claimable from now on.
    event PeriodEnded(bytes32 indexed federation, bytes32 result, bytes32 payouts, uint128 total, bytes32 h);
    /// @dev No round opens any more: all rounds done, a result said stop, or `close` after the idle window.
    event FederationEnded(bytes32 indexed federation, bool idle, bytes32 h);
    event PayoutClaimed(bytes32 indexed federation, uint32 participant, address payout, uint128 amount, bytes32 h);
    event Refunded(bytes32 indexed federation, address creator, uint128 amount, bytes32 h);
    event BondReturned(bytes32 indexed federation, address proposer, uint128 amount, bytes32 h);
    event Checkpoint(bytes32 indexed federation, bytes32 h);
}
