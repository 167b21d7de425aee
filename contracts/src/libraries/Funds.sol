// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IFederations, Phase, Status} from "../interfaces/IFederations.sol";
import {Credit, Federation, Participant, Proposed} from "../types/State.sol";
import {Committee} from "./Committee.sol";
import {Money} from "./Money.sol";
import {Rounds} from "./Rounds.sol";

/// @notice A pool in tokens, and what leaves a federation beside payouts and stakes: the pool's rest, fees, and what was credited.
/// @dev Runs in the core's storage, which also guards against reentrancy. See `IFederations` for what each function does.
library Funds {
    using Rounds for Federation;

    function pull(address token, uint256 amount) external {
        Money.pull(token, amount);
    }

    function refund(Federation storage f, bytes32 id) external {
        if (!f.state.inPhase(Phase.Ended) || f.settledHeight != f.headHeight) revert IFederations.RefundLocked();
        uint256 amount = f.rules.pool - f.results[f.head()].payoutTotal - f.fees;
        if (f.refunded || amount == 0) revert IFederations.NothingToRefund();
        f.refunded = true;
        address creator = f.rules.creator;
        f.record(id, IFederations.Refunded.selector, abi.encode(creator, amount));
        Money.send(f.token, creator, amount);
    }

    function collectFees(Federation storage f, bytes32 id, uint32 participant, bytes32[] calldata results) external {
        Participant storage p = f.participant(participant);
        uint256 size = f.rules.committeeSize;
        uint256 votes;
        for (uint256 i; i < results.length; ++i) {
            Proposed storage result = f.results[results[i]];
            uint256 candidates = result.candidates;
            if (result.status != Status.Settled || participant >= candidates) continue;
            uint256 place = Committee.placeOf(result.seed, participant, candidates, size);
            if (place >= Committee.MOST_PLACES) continue;
            uint256 cast = result.ballots & Committee.ballots(place);
            if (cast == 0) continue;
            result.ballots ^= cast;
            ++votes;
        }
        uint256 amount = votes * f.rules.attesterFee;
        if (amount == 0) revert IFederations.NothingToClaim(participant);
        f.credit(p.payout, 0, amount);
        f.record(id, IFederations.FeesCollected.selector, abi.encode(participant, amount));
    }

    function withdraw(Federation storage f, bytes32 id, address account) external {
        Credit storage owed = f.credits[account];
        (uint128 ethers, uint128 fees) = (owed.wei_, owed.fees);
        (owed.wei_, owed.fees) = (0, 0);
        if (fees != 0 && !Money.trySend(f.token, account, fees, gasleft())) {
            // A token that fails must not hold back the ether; what is owed in it stays owed.
            owed.fees += fees;
            fees = 0;
        }
        if (ethers | fees == 0) revert IFederations.NothingToWithdraw(account);
        f.record(id, IFederations.Withdrawn.selector, abi.encode(account, ethers, fees));
        if (ethers != 0) Money.send(address(0), account, ethers);
    }
}
