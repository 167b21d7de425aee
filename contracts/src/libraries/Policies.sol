// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, POLICY_TAG} from "../Headers.sol";

/// @notice Which policies can be enforced. A field whose enforcement is not here yet must say so by its zero.
library Policies {
    /// @notice The weighted mean.
    uint8 internal constant WEIGHTED_MEAN = 0;
    /// @notice The last of the valuations: none, leave-one-out, exact.
    uint8 internal constant EXACT = 2;
    /// @notice Evaluation on rows that are public.
    uint8 internal constant PUBLIC_ROWS = 1;
    /// @notice The exact Shapley value of more players fits no transaction.
    uint256 internal constant MOST_PLAYERS = 12;
    /// @notice Seats of the largest committee.
    uint256 internal constant MOST_SEATS = 256;
    uint8 internal constant LARGEST_EXPONENT = 4;
    uint256 internal constant LARGEST_INTEGER = (1 << 31) - 1;
    uint256 internal constant COORDINATES_PER_LEAF = 256;
    /// @notice Payloads of at most 1 GiB.
    uint256 internal constant MOST_LEAVES = 1 << 20;

    /// @notice Why this contract cannot enforce a policy: a field's name, or a group's, in ASCII; zero if it can.
    function refusal(PolicyHeader calldata p) internal view returns (bytes32 key) {
        if (
            p.common.tag != POLICY_TAG || p.common.chainId != block.chainid || p.common.ledger != address(this)
                || p.common.federation != 0 || p.common.round != 0
        ) return "common";
        key = _model(p);
        if (key == 0) key = _members(p);
        if (key == 0) key = _windows(p);
        if (key == 0) key = _rewards(p);
        if (key == 0) key = _absent(p);
    }

    function _model(PolicyHeader calldata p) private pure returns (bytes32) {
        if (p.rule != WEIGHTED_MEAN) return "rule";
        if (p.ruleParameters != 0) return "ruleParameters";
        uint256 leaves = p.leaves;
        uint256 coordinates = p.coordinates;
        if (!_within(leaves, 1, MOST_LEAVES)) return "leaves";
        if (!_within(coordinates, 1, leaves * COORDINATES_PER_LEAF)) return "coordinates";
        if (p.statistics > coordinates) return "statistics";
        if (!_within(p.bound, 1, LARGEST_INTEGER)) return "bound";
        if (!_within(p.weightCap, 1, LARGEST_INTEGER)) return "weightCap";
        return 0;
    }

    function _members(PolicyHeader calldata p) private pure returns (bytes32) {
        uint256 most = p.maxParticipants;
        if (!_within(most, 1, MOST_SEATS)) return "maxParticipants";
        if (!_within(p.committeeSize, most, MOST_SEATS)) return "committeeSize";
        if (!_within(p.startParticipants, 1, most)) return "startParticipants";
        if (!_within(p.leastUpdates, 1, most)) return "leastUpdates";
        if (!_within(p.quorumBps, 5_001, 10_000)) return "quorumBps";
        if (p.attempts == 0) return "attempts";
        uint256 valuation = p.valuation;
        if (valuation > EXACT || valuation == EXACT && most > MOST_PLAYERS) return "valuation";
        if (p.valuationEvery == 0) return "valuationEvery";
        if (!_within(p.evaluation, valuation == 0 ? 0 : PUBLIC_ROWS, PUBLIC_ROWS)) return "evaluation";
        return 0;
    }

    function _windows(PolicyHeader calldata p) private pure returns (bytes32) {
        uint256 commit = p.commitWindow;
        uint256 reveal = p.revealWindow;
        uint256 propose = p.proposeWindow;
        uint256 attest = p.attestWindow;
        if (commit == 0 || reveal == 0 || propose == 0 || attest == 0) return "windows";
        // Votes are not over before the last update has to be readable, and no result settles before its votes are over.
        if (attest < reveal) return "attestWindow";
        if (p.challengeWindow <= attest) return "challengeWindow";
        // A federation must not be closed as idle while its first proposal is on time.
        if (p.idleWindow < commit + reveal + propose + attest) return "idleWindow";
        return 0;
    }

    function _rewards(PolicyHeader calldata p) private pure returns (bytes32) {
        if (p.rounds == 0) return "rounds";
        if (p.target == 0 && p.pool != 0) return "target";
        if (p.valueExponent > LARGEST_EXPONENT || p.scaleExponent > LARGEST_EXPONENT) return "exponents";
        return 0;
    }

    function _absent(PolicyHeader calldata p) private pure returns (bytes32) {
        if (p.visibility != 0) return "visibility";
        if (p.staleness != 0) return "staleness";
        if (p.relay != address(0) || p.batchWindow != 0) return "relay";
        if (p.unbondingWindow != 0) return "unbondingWindow";
        if (p.challengeBond | p.proposerFee | p.attesterFee | p.unavailableFee | p.rejectionFee != 0) return "fees";
        return 0;
    }

    function _within(uint256 value, uint256 least, uint256 most) private pure returns (bool) {
        return least <= value && value <= most;
    }
}
