// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader, POLICY_TAG} from "../Headers.sol";
import {IFederations, Status} from "../interfaces/IFederations.sol";
import {RoundStates} from "../types/RoundState.sol";
import {Federation, Rules} from "../types/State.sol";
import {Terms} from "../verifier/Types.sol";
import {Committee} from "./Committee.sol";
import {Rounds} from "./Rounds.sol";

/// @notice Which policies can be enforced, and what is kept of one.
library Policies {
    using Rounds for Federation;

    /// @notice The weighted mean, whose proofs open 16 inputs however many there are.
    uint8 internal constant WEIGHTED_MEAN = 0;
    uint8 internal constant TRIMMED_MEAN = 1;
    uint8 internal constant MEDIAN = 2;
    /// @notice The last of the valuations: none, leave-one-out, exact.
    uint8 internal constant EXACT = 2;
    /// @notice Evaluation: none, public rows, slices, shards.
    uint8 internal constant SLICES = 2;
    uint8 internal constant SHARDS = 3;
    /// @notice Visibility: public, members.
    uint8 internal constant MEMBERS = 1;
    uint8 internal constant LEAVE_ONE_OUT = 1;
    /// @notice The exact Shapley value of more players fits no transaction.
    uint256 internal constant MOST_PLAYERS = 12;
    /// @notice The proof of a leave-one-out value opens every entry, so it has a limit, too.
    uint256 internal constant MOST_LEFT_OUT = 128;
    /// @notice The step of a rule without sums opens every input and every slot; those of more participants fit no transaction.
    uint256 internal constant MOST_INPUTS = 64;
    /// @notice A relay can fill twice as many slots.
    uint256 internal constant MOST_RELAYED_INPUTS = 48;
    /// @notice As many slots again come directly, behind the batch; both numbers are kept in 16 bits.
    uint256 internal constant MOST_PARTICIPANTS = 1 << 15;
    uint8 internal constant LARGEST_EXPONENT = 4;
    uint256 internal constant LARGEST_INTEGER = (1 << 31) - 1;
    uint256 internal constant COORDINATES_PER_LEAF = 256;
    /// @notice Payloads of at most 1 GiB.
    uint256 internal constant MOST_LEAVES = 1 << 20;
    /// @notice A trimmed mean cuts off less than one half at each end, in millionths.
    uint256 internal constant HALF = 500_000;
    /// @notice Staleness of more results would need more evidence than a header.
    uint256 internal constant MOST_STALE = 16;

    uint256 private constant RESULT_SIZE = 18 * 32;

    /// @notice Create a federation: check its policy and keep what is read again.
    /// @param ancestor ABI bytes of the header of the result that it goes on from; empty without one.
    function found(
        mapping(bytes32 id => Federation) storage federations,
        PolicyHeader calldata p,
        bytes32 salt,
        bytes calldata ancestor
    ) external returns (bytes32 id) {
        bytes32 reason = _refusal(federations[p.ancestor], p, ancestor);
        if (reason != 0) revert IFederations.PolicyRefused(reason);
        Rounds.checkValue(p.token == address(0) ? p.pool : 0);
        bytes32 digest = sha256(abi.encode(p));
        id = keccak256(abi.encode(block.chainid, address(this), msg.sender, digest, salt));
        Federation storage f = federations[id];
        if (f.exists()) revert IFederations.FederationExists(id);
        f.state = RoundStates.forming(p.leastUpdates, p.revealWindow, p.proposeWindow);
        f.lastAccepted = uint40(block.timestamp);
        f.token = p.token;
        _keep(f.rules, f.terms, p);
        f.record(id, IFederations.FederationCreated.selector, abi.encode(msg.sender, digest, salt, uint96(p.pool)));
    }

    /// @dev Why this contract cannot enforce a policy: a field's name, or a group's, in ASCII; zero if it can.
    /// @param from The federation that it goes on from; one that does not exist, if it names none.
    function _refusal(Federation storage from, PolicyHeader calldata p, bytes calldata ancestor)
        private
        view
        returns (bytes32 key)
    {
        if (
            p.common.tag != POLICY_TAG || p.common.chainId != block.chainid || p.common.ledger != address(this)
                || p.common.federation != 0 || p.common.round != 0
        ) return "common";
        key = _model(p);
        if (key == 0) key = _members(p);
        if (key == 0) key = _evaluation(p);
        if (key == 0) key = _windows(p);
        if (key == 0) key = _money(p);
        if (key == 0) key = _ancestor(from, p, ancestor);
    }

    /// @dev Keep what rounds and disputes read again.
    function _keep(Rules storage rules, Terms storage terms, PolicyHeader calldata p) private {
        rules.creator = msg.sender;
        rules.startParticipants = uint16(p.startParticipants);
        rules.maxParticipants = uint16(p.maxParticipants);
        rules.committeeSize = uint16(p.committeeSize);
        rules.quorumBps = p.quorumBps;
        rules.attempts = p.attempts;
        rules.commitWindow = p.commitWindow;
        rules.batchWindow = p.batchWindow;
        rules.attestWindow = p.attestWindow;
        rules.challengeWindow = p.challengeWindow;
        rules.answerWindow = p.answerWindow;
        rules.idleWindow = p.idleWindow;
        rules.unbondingWindow = p.unbondingWindow;
        rules.relay = p.relay;
        rules.relayFee = uint96(p.relayFee);
        rules.stake = uint96(p.stake);
        rules.proposerBond = uint96(p.proposerBond);
        rules.challengeBond = uint96(p.challengeBond);
        rules.rejectionFee = uint96(p.rejectionFee);
        rules.proposerFee = uint96(p.proposerFee);
        rules.attesterFee = uint96(p.attesterFee);
        rules.unavailableFee = uint96(p.unavailableFee);
        rules.pool = uint96(p.pool);
        terms.leaves = p.leaves;
        terms.coordinates = p.coordinates;
        terms.bound = p.bound;
        terms.statistics = p.statistics;
        terms.leastUpdates = p.leastUpdates;
        terms.weightCap = p.weightCap;
        terms.rounds = p.rounds;
        terms.rewardPeriod = p.rewardPeriod;
        terms.valuationEvery = p.valuationEvery;
        terms.rule = p.rule;
        terms.valuation = p.valuation;
        terms.valueExponent = p.valueExponent;
        terms.scaleExponent = p.scaleExponent;
        terms.evaluation = p.evaluation;
        terms.staleness = p.staleness;
        terms.sealed_ = p.visibility == MEMBERS;
        terms.open = p.open;
        terms.ruleParameters = p.ruleParameters;
        terms.initialModelRoot = p.initialModelRoot;
        terms.purse = uint128(p.pool - _reserve(p));
        terms.target = p.target;
    }

    function _model(PolicyHeader calldata p) private pure returns (bytes32) {
        if (p.rule > MEDIAN) return "rule";
        uint256 parameters = uint256(p.ruleParameters);
        if (p.rule == TRIMMED_MEAN ? !_within(parameters, 1, HALF - 1) : parameters != 0) return "ruleParameters";
        uint256 leaves = p.leaves;
        uint256 coordinates = p.coordinates;
        if (!_within(leaves, 1, MOST_LEAVES)) return "leaves";
        if (!_within(coordinates, 1, leaves * COORDINATES_PER_LEAF)) return "coordinates";
        if (p.statistics > coordinates) return "statistics";
        if (!_within(p.bound, 1, LARGEST_INTEGER)) return "bound";
        if (!_within(p.weightCap, 1, LARGEST_INTEGER)) return "weightCap";
        if (p.staleness > MOST_STALE) return "staleness";
        if (p.visibility > MEMBERS) return "visibility";
        return 0;
    }

    function _members(PolicyHeader calldata p) private pure returns (bytes32) {
        uint256 most = p.maxParticipants;
        uint256 limit = p.relay == address(0) ? MOST_INPUTS : MOST_RELAYED_INPUTS;
        if (p.rule == WEIGHTED_MEAN) limit = MOST_PARTICIPANTS;
        if (!_within(most, 1, limit)) return "maxParticipants";
        if (!_within(p.committeeSize, 1, Committee.MOST_PLACES)) return "committeeSize";
        if (!_within(p.startParticipants, 1, most)) return "startParticipants";
        if (!_within(p.leastUpdates, 1, most)) return "leastUpdates";
        if (!_within(p.quorumBps, 5_001, 10_000)) return "quorumBps";
        if (p.attempts == 0) return "attempts";
        return 0;
    }

    function _evaluation(PolicyHeader calldata p) private pure returns (bytes32) {
        uint256 valuation = p.valuation;
        uint256 most = valuation == EXACT ? MOST_PLAYERS : valuation == LEAVE_ONE_OUT ? MOST_LEFT_OUT : MOST_PARTICIPANTS;
        if (valuation > EXACT || p.maxParticipants > most) return "valuation";
        if (p.valuationEvery == 0) return "valuationEvery";
        if (p.evaluation > SHARDS || p.evaluation == 0 && valuation != 0) return "evaluation";
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
        if (p.answerWindow == 0) return "answerWindow";
        // Whoever the relay left out needs time to commit by itself.
        bool relayed = p.relay != address(0);
        if (relayed ? !_within(p.batchWindow, 1, commit - 1) : p.batchWindow != 0) return "batchWindow";
        // A federation must not be closed as idle while its first proposal is on time.
        if (p.idleWindow < commit + reveal + propose + attest) return "idleWindow";
        return 0;
    }

    function _money(PolicyHeader calldata p) private pure returns (bytes32) {
        if (p.rounds == 0) return "rounds";
        if (p.target == 0 && p.pool != 0) return "target";
        if (p.valueExponent > LARGEST_EXPONENT || p.scaleExponent > LARGEST_EXPONENT) return "exponents";
        uint256 all = uint256(p.stake) | p.proposerBond | p.challengeBond | p.proposerFee | p.attesterFee | p.relayFee
            | p.unavailableFee | p.rejectionFee | p.pool;
        if (all > type(uint96).max) return "amounts";
        if (p.rejectionFee > p.proposerBond) return "rejectionFee";
        if (p.unavailableFee > p.stake) return "unavailableFee";
        // The participants take turns in charging it; a stake must not be gone by then.
        if (p.unavailableFee != 0 && p.unbondingWindow < p.attestWindow) return "unbondingWindow";
        if (p.relayFee != 0 && p.relay == address(0)) return "relayFee";
        if (_reserve(p) > p.pool) return "pool";
        return 0;
    }

    /// @dev The most that fees can come to; they are paid for the results on the lineage only.
    function _reserve(PolicyHeader calldata p) private pure returns (uint256) {
        uint256 results = uint256(p.rounds) + (p.statistics != 0 ? 1 : 0);
        return results * (uint256(p.proposerFee) + uint256(p.committeeSize) * p.attesterFee + p.relayFee);
    }

    function _ancestor(Federation storage from, PolicyHeader calldata p, bytes calldata ancestor)
        private
        view
        returns (bytes32)
    {
        bytes32 parent = p.common.parent;
        if (p.ancestor == 0) return parent != 0 || ancestor.length != 0 ? bytes32("parent") : bytes32(0);
        if (from.results[parent].status != Status.Settled) return "parent";
        if (ancestor.length != RESULT_SIZE || sha256(ancestor) != parent) return "parent";
        ResultHeader memory header = abi.decode(ancestor, (ResultHeader));
        return header.modelRoot != p.initialModelRoot ? bytes32("initialModelRoot") : bytes32(0);
    }

    function _within(uint256 value, uint256 least, uint256 most) private pure returns (bool) {
        return least <= value && value <= most;
    }
}
