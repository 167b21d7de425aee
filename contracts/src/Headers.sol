// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice What every header starts with. A header of one federation, round and lineage opens to nothing on another.
/// @param tag Type tag: no header is ever accepted for a header of another kind.
/// @param parent Digest of the result header that this one builds on; zero under the first round.
struct Common {
    bytes32 tag;
    uint256 chainId;
    address ledger;
    bytes32 federation;
    uint32 round;
    bytes32 parent;
}

/// @notice The part of a policy that the contract enforces.
/// @dev `common.federation` and `common.round` are zero (the federation's id depends on this header's digest);
/// `common.parent` is the settled result of `ancestor` that the federation goes on from, or zero.
/// @param statistics Number of leading coordinates that the first result fills with the federation's statistics (every
/// weight is 1 in that round, all other coordinates are zero; later updates leave these coordinates at zero); 0 = no such round.
/// @param coordinates End of the range of payload coordinates that updates may write: the first one behind the shared tensors.
/// @param ruleParameters What the rule's step needs; zero for the weighted mean.
/// @param valuationEvery Contributions are computed every so many training rounds; the others add zero.
struct PolicyHeader {
    Common common;
    bytes32 ancestor;
    bytes32 initialModelRoot;
    bytes32 rest;
    uint8 rule;
    bytes32 ruleParameters;
    uint32 leaves;
    uint32 coordinates;
    uint32 bound;
    uint32 weightCap;
    uint32 startParticipants;
    uint32 maxParticipants;
    uint32 leastUpdates;
    bool open;
    uint32 statistics;
    uint32 committeeSize;
    uint16 quorumBps;
    uint8 attempts;
    uint32 commitWindow;
    uint32 revealWindow;
    uint32 proposeWindow;
    uint32 attestWindow;
    uint32 challengeWindow;
    uint32 idleWindow;
    uint32 batchWindow;
    uint32 unbondingWindow;
    uint32 answerWindow;
    address relay;
    uint128 stake;
    uint128 proposerBond;
    uint128 challengeBond;
    uint128 proposerFee;
    uint128 attesterFee;
    uint128 relayFee;
    uint128 unavailableFee;
    uint128 rejectionFee;
    uint32 rounds;
    uint32 rewardPeriod;
    address token;
    uint128 pool;
    uint64 target;
    uint8 valueExponent;
    uint8 scaleExponent;
    uint8 valuation;
    uint32 valuationEvery;
    uint8 visibility;
    uint8 evaluation;
    uint8 staleness;
}

/// @notice What a participant commits to in a round.
/// @param base Result that the update was trained from.
/// @param dataset Index in the participant's list of data-set commitments.
/// @param index Digest of the dag-cbor index of the payload's blocks.
/// @param training Digest of the record of how it was trained.
/// @param evaluation Digest of an evaluation record, or zero.
struct UpdateHeader {
    Common common;
    uint32 participant;
    bytes32 base;
    bytes32 payloadRoot;
    uint32 dataset;
    bytes32 index;
    bytes32 training;
    bytes32 evaluation;
}

/// @notice What a round came to.
/// @param nodes Root of the tree over all nodes of partial sums.
/// @param weight Sum of the weights of the counted entries; below 2^31.
/// @param number Number of entries that count, or would if they were not too few.
/// @param gain Utility gained in the reward period so far, in the metric's units.
/// @param scores Sum of all scores: the sum in the root of `values`.
/// @param payoutTotal Sum of all payouts, cumulative over periods, in wei (or the token's least units).
struct ResultHeader {
    Common common;
    bytes32 nodes;
    uint64 weight;
    uint32 number;
    bytes32 modelRoot;
    bytes32 modelDigest;
    bytes32 utilities;
    int64 gain;
    bytes32 values;
    uint256 scores;
    bytes32 payouts;
    uint128 payoutTotal;
    bool stop;
}

bytes32 constant POLICY_TAG = keccak256("fednode.policy.1");
bytes32 constant UPDATE_TAG = keccak256("fednode.update.1");
bytes32 constant RESULT_TAG = keccak256("fednode.result.1");
