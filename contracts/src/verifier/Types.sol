// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What a proof's verdict depends on of a policy.
/// @param purse What payouts are released from: the pool without the fees' reserve.
struct Terms {
    uint32 leaves;
    uint32 coordinates;
    uint32 bound;
    uint32 statistics;
    uint32 leastUpdates;
    uint32 weightCap;
    uint32 rounds;
    uint32 rewardPeriod;
    uint32 valuationEvery;
    uint8 rule;
    uint8 valuation;
    uint8 valueExponent;
    uint8 scaleExponent;
    uint8 evaluation;
    uint8 staleness;
    bool sealed_;
    bool open;
    bytes32 ruleParameters;
    bytes32 initialModelRoot;
    uint128 purse;
    uint64 target;
}

/// @notice The challenged result, as the core knows it.
/// @param height Its height on the lineage; the first result's is 1.
/// @param slots Commit slots of its round, the first `batched` of them the batch's.
/// @param known Participants known when the round was opened.
struct Case {
    bytes32 federation;
    bytes32 result;
    uint32 round;
    uint32 height;
    uint32 slots;
    uint32 batched;
    bytes32 batchRoot;
    uint32 known;
}

/// @notice A node of a tree that a demand wants opened: the one over the leaves from `position << level` up to the next
/// position's, of `size` in all.
/// @param kind Which tree; decides how a leaf is read.
/// @param total Sum in the root of a Merkle-sum tree; zero of other trees.
struct Target {
    uint8 kind;
    bytes32 root;
    uint256 total;
    uint32 size;
    uint8 level;
    uint32 position;
}

/// @notice What a proof leaves to be looked up: the one fact of the contract's own records on which its verdict depends.
/// "The round" is the case's.
enum Ask {
    Nothing, // the proof decides alone
    Commit, // `participant` committed `digest` directly in the round, as the `number`th in order of arrival, from 0
    Weight, // an update of `participant` weighs `number` in the round
    Scale, // rows of `participant` that score in the round, attested and capped, are `number`
    Signer, // `signer` was the signer of `participant` when the round was opened, and `participant` had a seat in it
    Header, // the newest data set of `participant` before the round is `number`, and `digest` is the round's parent or one
    // of the `staleness` results before it on the lineage (zero lies under the first)
    Ancestor // `digest` is the accepted result of height `height`; in its round `number` participants were known, and, where
    // `slots` is not zero, there were `slots` commit slots
}

/// @notice A fraud is shown if what is asked holds and `holds`, or does not and not `holds`. Nothing always holds.
/// @dev Fields that a question does not use are zero.
struct Question {
    Ask ask;
    bool holds;
    uint32 participant;
    uint32 number;
    uint32 height;
    uint32 slots;
    bytes32 digest;
    address signer;
}
