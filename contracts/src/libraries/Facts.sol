// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Dataset} from "../interfaces/IFederations.sol";
import {Seat} from "../types/Seat.sol";
import {Federation, Proposed} from "../types/State.sol";
import {Ask, Question} from "../verifier/Types.sol";
import {Rounds} from "./Rounds.sol";

/// @notice What the contract itself knows, asked by proofs.
library Facts {
    using Rounds for Federation;

    /// @notice Whether a proof's question has the answer that shows a fraud of a result.
    function show(Federation storage f, bytes32 digest, Question memory q) internal view returns (bool) {
        Proposed storage result = f.results[digest];
        return _holds(f, result, q) == q.holds || q.ask == Ask.Nothing;
    }

    function _holds(Federation storage f, Proposed storage result, Question memory q) private view returns (bool) {
        uint32 round = result.round;
        if (q.ask == Ask.Commit) {
            bytes32 commit = f.commits[uint256(round) << 32 | q.participant];
            return commit == keccak256(abi.encode(q.digest, q.number));
        }
        if (q.ask == Ask.Weight) {
            bool statistics = result.height == 1 && f.terms.statistics != 0;
            return q.number == (statistics ? 1 : _scale(f, q.participant, round));
        }
        if (q.ask == Ask.Scale) return q.number == _scale(f, q.participant, round);
        if (q.ask == Ask.Signer) {
            Seat seat = f.seats[q.signer];
            uint32 participant = seat.participant();
            // Who is slashed keeps the rounds that had been opened: what it signed as a commit in them binds it.
            return seat.activeIn(round) && participant == q.participant && round < f.participants[participant].until;
        }
        if (q.ask == Ask.Header) {
            return q.number == dataset(f, q.participant, round) && _isBase(f, round, result.height, q.digest);
        }
        if (q.ask == Ask.Ancestor) {
            Proposed storage ancestor = f.results[q.digest];
            uint32 slots = uint32(ancestor.commits) + ancestor.batched;
            return q.height < result.height && q.height != 0 && f.ancestor(round, q.height) == q.digest
                && q.number == ancestor.known && (q.slots == 0 || q.slots == slots);
        }
        return true;
    }

    /// @notice Place of a participant's newest data-set commitment before a round was opened; of the first, if it joined later.
    /// @dev By halves: a participant that amends its data set over and over must not make a proof against it too dear.
    function dataset(Federation storage f, uint32 participant, uint32 round) internal view returns (uint32 place) {
        uint32 end = f.participants[participant].datasets;
        while (place + 1 < end) {
            uint32 middle = (place + end) / 2;
            if (f.datasets[participant][middle].fromRound <= round) place = middle;
            else end = middle;
        }
    }

    /// @dev The attested rows that score and weigh, capped; 1 in an open federation.
    function _scale(Federation storage f, uint32 participant, uint32 round) private view returns (uint32) {
        if (f.terms.open) return 1;
        Dataset storage set = f.datasets[participant][dataset(f, participant, round)];
        uint32 cap = f.terms.weightCap;
        return set.rows < cap ? set.rows : cap;
    }

    /// @dev Whether a digest is the parent of the result of a height, or one of the `staleness` results before that.
    function _isBase(Federation storage f, uint32 round, uint32 height, bytes32 digest) private view returns (bool) {
        uint32 stale = f.terms.staleness;
        for (uint32 behind; behind <= stale && behind < height; ++behind) {
            if (f.ancestor(round, height - 1 - behind) == digest) return true;
        }
        return false;
    }
}
