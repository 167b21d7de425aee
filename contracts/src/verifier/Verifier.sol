// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ResultHeader} from "../Headers.sol";
import {Demands} from "./Demands.sol";
import {EntryChecks} from "./EntryChecks.sol";
import {Headers} from "./Headers.sol";
import {NodeChecks} from "./NodeChecks.sol";
import {Entry, Nodes, Reason} from "./Nodes.sol";
import {Openings, Reader} from "./Openings.sol";
import {RewardChecks} from "./RewardChecks.sol";
import {SlotChecks} from "./SlotChecks.sol";
import {StepChecks} from "./StepChecks.sol";
import {SumChecks} from "./SumChecks.sol";
import {Case, Question, Target, Terms} from "./Types.sol";
import {ValueChecks} from "./ValueChecks.sol";

/// @notice Whether a proof shows that a result is wrong, from the proof, the policy and the result's digest alone. What follows
/// from it is the core's business.
/// @dev A proof is a tight string of bytes: its kind, the result's header, then what the kind opens. Nothing in it repeats
/// what follows from the rest, and nothing may be left over.
library Verifier {
    using Headers for Reader;
    using Nodes for Reader;

    uint8 internal constant NODE_TOTALS = 1;
    uint8 internal constant NODE_SUM = 2;
    uint8 internal constant NODE_CHILD = 3;
    uint8 internal constant TOP = 4;
    uint8 internal constant STEP = 5;
    uint8 internal constant ENTRY_HEADER = 6;
    uint8 internal constant ENTRY_SLOT = 7;
    uint8 internal constant SUPERSEDED = 8;
    uint8 internal constant WEIGHT = 9;
    uint8 internal constant TWICE = 10;
    uint8 internal constant BOUND = 11;
    uint8 internal constant VALUE = 12;
    uint8 internal constant GAIN = 13;
    uint8 internal constant SCORE = 14;
    uint8 internal constant PAYOUT = 15;

    error UnknownKind(uint8 kind);
    /// @notice All that was opened is as it should be.
    error NothingWrong(uint8 kind);

    /// @notice Verify a proof: it shows a fraud if the question's answer is as the question says.
    function check(Terms calldata terms, Case calldata case_, bytes calldata proof)
        external
        view
        returns (Question memory question)
    {
        Reader memory reader = Openings.over(proof);
        uint8 kind = reader.uint8_();
        ResultHeader calldata header = reader.result(case_.result);
        question.holds = true;
        if (_right(kind, terms, case_, header, reader, question)) revert NothingWrong(kind);
        reader.close();
    }

    /// @notice What a demand is for; `evidence` leads from the result to the root of the tree, as `Demands` says.
    function target(Terms calldata terms, Case calldata case_, bytes calldata evidence)
        external
        view
        returns (Target memory)
    {
        return Demands.target(terms, case_, evidence);
    }

    /// @notice Whether bytes answer a demand.
    /// @param sealed_ Whether the policy's payloads are sealed.
    function opens(bool sealed_, Target calldata target_, bytes calldata data) external view returns (bool) {
        return Demands.opens(sealed_, target_, data);
    }

    /// @notice The participant of a slot that a result calls unavailable; `evidence` is the result's header, the slot, the
    /// node that holds its entry, and the node's path.
    function unavailable(Case calldata case_, bytes calldata evidence) external view returns (uint32) {
        Reader memory reader = Openings.over(evidence);
        ResultHeader calldata header = reader.result(case_.result);
        (, Entry calldata entry) = reader.entry(case_, header);
        reader.close();
        if (!Nodes.is_(entry, Reason.Unavailable)) revert Nodes.OutOfPlace();
        return uint32(entry.participant);
    }

    /// @dev Whether what is opened is right, or would be if the question's answer were not what the question says.
    function _right(
        uint8 kind,
        Terms calldata t,
        Case calldata c,
        ResultHeader calldata h,
        Reader memory r,
        Question memory q
    ) private view returns (bool) {
        if (kind == NODE_TOTALS) return NodeChecks.totals(t, c, h, r);
        if (kind == NODE_SUM) return SumChecks.sum(t, c, h, r);
        if (kind == NODE_CHILD) return NodeChecks.child(c, h, r);
        if (kind == TOP) return NodeChecks.top(c, h, r);
        if (kind == STEP) return StepChecks.step(t, c, h, r);
        if (kind == ENTRY_HEADER) return EntryChecks.header(t, c, h, r, q);
        if (kind == ENTRY_SLOT) return SlotChecks.slot(c, h, r, q);
        if (kind == SUPERSEDED) return SlotChecks.superseded(c, h, r);
        if (kind == WEIGHT) return EntryChecks.weight(c, h, r, q);
        if (kind == TWICE) return SlotChecks.twice(c, h, r);
        if (kind == BOUND) return EntryChecks.bound(t, c, h, r);
        if (kind == VALUE) return ValueChecks.value(t, c, h, r, q);
        if (kind == GAIN) return ValueChecks.gain(t, c, h, r);
        if (kind == SCORE) return RewardChecks.score(t, c, h, r, q);
        if (kind == PAYOUT) return RewardChecks.payout(t, c, h, r, q);
        revert UnknownKind(kind);
    }
}
