// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";

import {Application, Dataset, IFederations, Phase} from "../interfaces/IFederations.sol";
import {Seat, Seats} from "../types/Seat.sol";
import {Federation, Participant} from "../types/State.sol";
import {Money} from "./Money.sol";
import {Rounds} from "./Rounds.sol";
import {Signatures} from "./Signatures.sol";

/// @notice Who takes part: joining, leaving, signers, keys, data sets and stakes.
/// @dev Runs in the core's storage. See `IFederations` for what each function does.
library Members {
    using Rounds for Federation;

    /// @dev Sums of int32 coordinates with weights below this fit int64.
    uint256 private constant WEIGHT_LIMIT = 1 << 31;
    bytes32 private constant INVITATION_TYPEHASH = keccak256(
        "Invitation(bytes32 federation,address controller,bytes32 identity,bytes32 datasetRoot,uint32 dataset,uint32 rows,uint64 expires)"
    );
    bytes32 private constant JOIN_TYPEHASH = keccak256(
        "Join(bytes32 federation,address signer,address payout,bytes32 identity,bytes32 key,bytes32 datasetRoot,uint32 rows)"
    );

    function join(
        Federation storage f,
        bytes32 id,
        bytes32 domain,
        Application calldata a,
        bytes calldata invitation,
        bytes calldata consent
    ) external {
        Rounds.checkValue(f.rules.stake);
        if (f.joined == f.rules.maxParticipants) revert IFederations.FederationFull(f.rules.maxParticipants);
        if (a.payout == address(0)) revert IFederations.ZeroAddress();
        if (f.controllers[a.controller]) revert IFederations.ControllerTaken(a.controller);
        _checkConsent(id, domain, a, consent);
        _checkInvitation(f, id, domain, a.controller, a.identity, a.datasetRoot, 0, a.rows, a.expires, invitation);

        uint32 index = f.joined++;
        uint32 from = f.nextRound();
        uint32 active = ++f.active;
        _seat(f, a.signer, Seats.taken(index, from));
        f.controllers[a.controller] = true;
        Participant storage p = f.participants[index];
        p.signer = a.signer;
        p.from = from;
        p.until = type(uint32).max;
        p.controller = a.controller;
        p.stake = f.rules.stake;
        p.payout = a.payout;
        p.identity = a.identity;
        _appendDataset(f, p, index, a.datasetRoot, a.rows);
        f.record(
            id,
            IFederations.ParticipantJoined.selector,
            abi.encode(index, a.signer, a.controller, a.payout, a.identity, a.key, a.datasetRoot, a.rows)
        );
        if (f.state.inPhase(Phase.Forming) && active == f.rules.startParticipants) {
            f.lastAccepted = uint40(block.timestamp);
            f.openNext(id, true);
        }
    }

    function leave(Federation storage f, bytes32 id, uint32 index) external {
        f.unseat(_staying(f, index));
        f.record(id, IFederations.ParticipantLeft.selector, abi.encode(index));
    }

    function rotateSigner(Federation storage f, bytes32 id, uint32 index, address signer) external {
        Participant storage p = _staying(f, index);
        uint32 from = f.nextRound();
        _seat(f, signer, Seats.taken(index, from));
        f.seats[p.signer] = f.seats[p.signer].leaving(from);
        p.signer = signer;
        f.record(id, IFederations.SignerRotated.selector, abi.encode(index, signer));
    }

    function registerKey(Federation storage f, bytes32 id, uint32 index, bytes32 key) external {
        _staying(f, index);
        f.record(id, IFederations.KeyRegistered.selector, abi.encode(index, key));
    }

    function commitDataset(
        Federation storage f,
        bytes32 id,
        bytes32 domain,
        uint32 index,
        bytes32 root,
        uint32 rows,
        uint64 expires,
        bytes calldata invitation
    ) external {
        Participant storage p = _staying(f, index);
        _checkInvitation(f, id, domain, p.controller, p.identity, root, p.datasets, rows, expires, invitation);
        uint32 dataset = _appendDataset(f, p, index, root, rows);
        f.record(id, IFederations.DatasetCommitted.selector, abi.encode(index, dataset, root, rows));
    }

    function amendDataset(
        Federation storage f,
        bytes32 id,
        uint32 index,
        bytes32 root,
        uint32 rows,
        bytes32 erasure
    ) external {
        // Erasing is not for members alone: who has left still may.
        Participant storage p = _controlled(f, index);
        uint32 attested = f.datasets[index][p.datasets - 1].rows;
        if (rows > attested) revert IFederations.RowsNotAttested(attested);
        uint32 dataset = _appendDataset(f, p, index, root, rows);
        f.record(id, IFederations.DatasetAmended.selector, abi.encode(index, dataset, root, rows, erasure));
    }

    function withdrawStake(Federation storage f, bytes32 id, uint32 index) external {
        Participant storage p = f.participant(index);
        (address controller, uint96 amount) = (p.controller, p.stake);
        if (amount == 0) revert IFederations.NothingToWithdraw(controller);
        if (!_released(f, p)) revert IFederations.StakeLocked(index);
        p.stake = 0;
        f.record(id, IFederations.StakeWithdrawn.selector, abi.encode(index, amount));
        Money.send(address(0), controller, amount);
    }

    /// @dev Whether every round that the participant had a seat in is settled or void, no stake is held, and its unbonding time is over.
    /// That counts from the last of these settlements at the earliest, since they alone show what it is to be charged for.
    function _released(Federation storage f, Participant storage p) private view returns (bool) {
        if (block.timestamp < f.heldUntil) return false;
        bool ended = f.state.inPhase(Phase.Ended);
        uint32 until = p.until;
        if (!ended && (p.leftAt == 0 || f.state.round() < until)) return false;
        uint32 settled = f.settledHeight;
        if (settled != f.headHeight && f.results[f.accepted[settled + 1]].round < until) return false;
        uint256 since = Math.max(p.leftAt != 0 ? p.leftAt : f.endedAt, _lastSettlement(f, settled, until));
        return block.timestamp >= since + f.rules.unbondingWindow;
    }

    /// @dev When the newest of the settled results was settled whose round came before one; zero without any. By halves.
    function _lastSettlement(Federation storage f, uint32 height, uint32 until) private view returns (uint256) {
        uint32 low;
        while (low < height) {
            uint32 middle = (low + height + 1) / 2;
            if (f.results[f.accepted[middle]].round < until) low = middle;
            else height = middle - 1;
        }
        return f.results[f.accepted[low]].challengeDeadline;
    }

    function _seat(Federation storage f, address signer, Seat seat) private {
        if (signer == address(0)) revert IFederations.ZeroAddress();
        if (f.seats[signer].exists()) revert IFederations.SignerTaken(signer);
        f.seats[signer] = seat;
    }

    function _checkConsent(bytes32 id, bytes32 domain, Application calldata a, bytes calldata consent) private view {
        if (msg.sender == a.controller && consent.length == 0) return;
        bytes32 content =
            keccak256(abi.encode(JOIN_TYPEHASH, id, a.signer, a.payout, a.identity, a.key, a.datasetRoot, a.rows));
        bytes32 digest = MessageHashUtils.toTypedDataHash(domain, content);
        if (!Signatures.isSignedBy(a.controller, digest, consent)) {
            revert IFederations.ConsentRefused(a.controller);
        }
    }

    function _checkInvitation(
        Federation storage f,
        bytes32 id,
        bytes32 domain,
        address controller,
        bytes32 identity,
        bytes32 root,
        uint32 dataset,
        uint32 rows,
        uint64 expires,
        bytes calldata invitation
    ) private view {
        if (f.terms.open) {
            if (invitation.length != 0) revert IFederations.InvitationRefused();
            return;
        }
        if (block.timestamp > expires) revert IFederations.InvitationExpired(expires);
        bytes32 content =
            keccak256(abi.encode(INVITATION_TYPEHASH, id, controller, identity, root, dataset, rows, expires));
        bytes32 digest = MessageHashUtils.toTypedDataHash(domain, content);
        if (!Signatures.isSignedBy(f.rules.creator, digest, invitation)) {
            revert IFederations.InvitationRefused();
        }
    }

    function _appendDataset(Federation storage f, Participant storage p, uint32 index, bytes32 root, uint32 rows)
        private
        returns (uint32 dataset)
    {
        uint32 cap = f.terms.weightCap;
        uint32 weight = f.terms.open ? 1 : rows < cap ? rows : cap;
        if (p.leftAt == 0) {
            uint256 sum = uint256(f.weights) - p.weight + weight;
            if (sum >= WEIGHT_LIMIT) revert IFederations.WeightOverflow(sum);
            f.weights = uint32(sum);
        }
        p.weight = weight;
        dataset = p.datasets++;
        f.datasets[index][dataset] = Dataset({root: root, rows: rows, fromRound: f.nextRound()});
    }

    function _controlled(Federation storage f, uint32 index) private view returns (Participant storage p) {
        p = f.participant(index);
        if (msg.sender != p.controller) revert IFederations.NotController(p.controller);
    }

    function _staying(Federation storage f, uint32 index) private view returns (Participant storage p) {
        p = _controlled(f, index);
        if (p.leftAt != 0) revert IFederations.AlreadyLeft(index);
    }
}
