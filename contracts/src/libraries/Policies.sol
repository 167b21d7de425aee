// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, POLICY_TAG} from "../Headers.sol";
import {IFederations} from "../interfaces/IFederations.sol";

/// @notice Which policies can be enforced. A field whose enforcement is not here yet must say so by its zero.
library Policies {
    /// @notice The weighted mean.
    uint8 internal constant WEIGHTED_MEAN = 0;
    uint8 internal constant LAST_VALUATION = 2;
    uint8 internal constant EXACT = 2;
    /// @notice Evaluation on rows that are public.
    uint8 internal constant PUBLIC_ROWS = 1;
    /// @notice The exact Shapley value of more players fits no transaction.
    uint256 internal constant MOST_PLAYERS = 12;
    /// @notice Seats of the largest committee.
    uint256 internal constant MOST_SEATS = 256;
    uint256 internal constant COORDINATES_PER_LEAF = 256;

    /// @notice Revert unless this contract can enforce the policy.
    function check(PolicyHeader calldata p) internal view {
        _require(p.common.tag == POLICY_TAG, "tag");
        _require(p.common.chainId == block.chainid, "chainId");
        _require(p.common.ledger == address(this), "ledger");
        _require(p.common.federation == 0, "federation");
        _require(p.common.round == 0, "round");
        _checkModel(p);
        _checkMembers(p);
        _checkWindows(p);
        _checkRewards(p);
        _checkAbsent(p);
    }

    function _checkModel(PolicyHeader calldata p) private pure {
        _require(p.rule == WEIGHTED_MEAN, "rule");
        _require(p.leaves != 0, "leaves");
        _require(p.bound != 0 && p.bound <= uint32(type(int32).max), "bound");
        _require(p.weightCap != 0 && p.weightCap <= uint32(type(int32).max), "weightCap");
        _require(p.statistics <= uint256(p.leaves) * COORDINATES_PER_LEAF, "statistics");
    }

    function _checkMembers(PolicyHeader calldata p) private pure {
        _require(p.committeeSize <= MOST_SEATS, "committeeSize");
        _require(p.maxParticipants != 0 && p.maxParticipants <= p.committeeSize, "maxParticipants");
        _require(p.startParticipants != 0 && p.startParticipants <= p.maxParticipants, "startParticipants");
        _require(p.leastUpdates != 0 && p.leastUpdates <= p.maxParticipants, "leastUpdates");
        _require(p.quorumBps > 5_000 && p.quorumBps <= 10_000, "quorumBps");
        _require(p.attempts != 0, "attempts");
    }

    function _checkWindows(PolicyHeader calldata p) private pure {
        _require(p.commitWindow != 0, "commitWindow");
        _require(p.revealWindow != 0, "revealWindow");
        _require(p.proposeWindow != 0, "proposeWindow");
        _require(p.attestWindow != 0, "attestWindow");
        _require(p.challengeWindow >= p.attestWindow, "challengeWindow");
        // A federation must not be closed as idle while its first proposal is on time.
        _require(
            p.idleWindow >= uint256(p.commitWindow) + p.revealWindow + p.proposeWindow + p.attestWindow, "idleWindow"
        );
    }

    function _checkRewards(PolicyHeader calldata p) private pure {
        _require(p.rounds != 0, "rounds");
        _require(p.target != 0 || p.pool == 0, "target");
        _require(p.valuation <= LAST_VALUATION, "valuation");
        _require(p.valuation != EXACT || p.maxParticipants <= MOST_PLAYERS, "valuation");
        _require(p.evaluation <= PUBLIC_ROWS, "evaluation");
        _require(p.evaluation != 0 || p.valuation == 0, "evaluation");
    }

    function _checkAbsent(PolicyHeader calldata p) private pure {
        _require(p.visibility == 0, "visibility");
        _require(p.staleness == 0, "staleness");
        _require(p.relay == address(0), "relay");
        _require(p.batchWindow == 0, "batchWindow");
        _require(p.unbondingWindow == 0, "unbondingWindow");
        _require(p.challengeBond == 0, "challengeBond");
        _require(p.proposerFee == 0, "proposerFee");
        _require(p.attesterFee == 0, "attesterFee");
        _require(p.unavailableFee == 0, "unavailableFee");
        _require(p.rejectionFee == 0, "rejectionFee");
    }

    function _require(bool holds, bytes32 key) private pure {
        if (!holds) revert IFederations.PolicyRefused(key);
    }
}
