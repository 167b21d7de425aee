// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader} from "../src/Headers.sol";
import {Dataset, IFederations, ParticipantView, Phase} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";

/// @notice A creator that is a contract (ERC-1271) and approves one digest.
contract Wallet {
    bytes32 private _approved;

    function approve(bytes32 hash) external {
        _approved = hash;
    }

    function isValidSignature(bytes32 hash, bytes calldata) external view returns (bytes4) {
        return hash == _approved ? this.isValidSignature.selector : bytes4(0);
    }
}

contract ParticipantsTest is Base {
    function _invited() private view returns (PolicyHeader memory p) {
        p = policy();
        p.open = false;
    }

    function _digest(bytes32 id, address who, bytes32 identity_, bytes32 root, uint32 rows, uint64 expires)
        private
        view
        returns (bytes32)
    {
        return _digestAt(id, who, identity_, root, 0, rows, expires);
    }

    function _digestAt(bytes32 id, address who, bytes32 identity_, bytes32 root, uint32 at, uint32 rows, uint64 expires)
        private
        view
        returns (bytes32)
    {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("FedNode Federations"),
                keccak256("1"),
                block.chainid,
                address(ledger)
            )
        );
        bytes32 content = keccak256(
            abi.encode(
                keccak256(
                    "Invitation(bytes32 federation,address controller,bytes32 identity,bytes32 datasetRoot,uint32 dataset,uint32 rows,uint64 expires)"
                ),
                id,
                who,
                identity_,
                root,
                at,
                rows,
                expires
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, content));
    }

    function _sign(uint256 key, bytes32 digest_) private pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest_);
        return abi.encodePacked(r, s, v);
    }

    function _invitation(bytes32 id, uint256 i, uint32 rows, uint64 expires) private view returns (bytes memory) {
        return _sign(CREATOR_KEY, _digest(id, controller(i), identity(i), dataset(i), rows, expires));
    }

    function _joinInvited(bytes32 id, uint256 i, uint32 rows, uint64 expires, bytes memory invitation) private {
        vm.deal(controller(i), 1 ether);
        vm.prank(controller(i));
        ledger.join{value: 1 ether}(id, signer(i), payout(i), identity(i), dataset(i), rows, expires, invitation);
    }

    // ---------------------------------------------------------------- joining

    function test_join_opensRound0() public {
        bytes32 id = create(policy());
        vm.recordLogs();
        join(id, 0);
        join(id, 1);
        holds(view_(id).phase == Phase.Forming, "forming");
        join(id, 2);
        holds(view_(id).phase == Phase.Commit, "open");
        eq(view_(id).seats, 3, "seats");
        eq(view_(id).known, 3, "known");
        eq(view_(id).deadline, START + 60, "deadline");
        vm.getRecordedLogs();
    }

    function test_join_keepsWhoItIs() public {
        bytes32 id = create(policy());
        join(id, 0);
        ParticipantView memory p = ledger.participantOf(id, 0);
        eq(p.signer, signer(0), "signer");
        eq(p.controller, controller(0), "controller");
        eq(p.payout, payout(0), "payout");
        eq(p.identity, identity(0), "identity");
        holds(p.staked && !p.left, "flags");
        Dataset memory d = ledger.datasetOf(id, 0, 0);
        eq(d.root, dataset(0), "root");
        eq(d.rows, 100, "rows");
        eq(d.fromRound, 0, "from");
    }

    function test_join_laterSeatsStartWithTheNextRound() public {
        bytes32 id = started();
        join(id, 3);
        eq(ledger.participantOf(id, 3).activeFrom, 1, "from");
        eq(ledger.datasetOf(id, 3, 0).fromRound, 1, "data set");
        vm.prank(signer(3));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(3), 0));
        ledger.commitUpdate(id, 0, bytes32(uint256(1)));
        fullRound(id);
        eq(view_(id).seats, 4, "seats");
        commit(id, 3);
    }

    function test_join_RevertWhen_full() public {
        bytes32 id = started();
        join(id, 3);
        join(id, 4);
        vm.deal(controller(5), 1 ether);
        vm.prank(controller(5));
        refuses(abi.encodeWithSelector(IFederations.FederationFull.selector, 5));
        ledger.join{value: 1 ether}(id, signer(5), payout(5), 0, 0, 1, 0, "");
    }

    function test_join_RevertWhen_takenOrZero() public {
        bytes32 id = create(policy());
        join(id, 0);
        vm.deal(controller(0), 10 ether);
        vm.deal(controller(1), 10 ether);
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.ControllerTaken.selector, controller(0)));
        ledger.join{value: 1 ether}(id, signer(1), payout(1), 0, 0, 1, 0, "");
        vm.prank(controller(1));
        refuses(abi.encodeWithSelector(IFederations.SignerTaken.selector, signer(0)));
        ledger.join{value: 1 ether}(id, signer(0), payout(1), 0, 0, 1, 0, "");
        vm.prank(controller(1));
        refuses(abi.encodeWithSelector(IFederations.ZeroAddress.selector));
        ledger.join{value: 1 ether}(id, address(0), payout(1), 0, 0, 1, 0, "");
        vm.prank(controller(1));
        refuses(abi.encodeWithSelector(IFederations.ZeroAddress.selector));
        ledger.join{value: 1 ether}(id, signer(1), address(0), 0, 0, 1, 0, "");
        vm.prank(controller(1));
        refuses(abi.encodeWithSelector(IFederations.WrongValue.selector, 1 ether, 2 ether));
        ledger.join{value: 2 ether}(id, signer(1), payout(1), 0, 0, 1, 0, "");
        vm.prank(controller(1));
        refuses(abi.encodeWithSelector(IFederations.UnknownFederation.selector, bytes32(uint256(1))));
        ledger.join{value: 1 ether}(bytes32(uint256(1)), signer(1), payout(1), 0, 0, 1, 0, "");
    }

    // ---------------------------------------------------------------- invitations

    function test_join_RevertWhen_openOneIsInvited() public {
        bytes32 id = create(policy());
        bytes memory invitation = _invitation(id, 0, 10, 0);
        vm.deal(controller(0), 1 ether);
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.InvitationRefused.selector));
        ledger.join{value: 1 ether}(id, signer(0), payout(0), identity(0), dataset(0), 10, 0, invitation);
    }

    function testFuzz_join_byInvitation(uint32 rows, uint64 expires) public {
        vm.assume(expires >= START);
        bytes32 id = create(_invited());
        _joinInvited(id, 0, rows, expires, _invitation(id, 0, rows, expires));
        eq(ledger.datasetOf(id, 0, 0).rows, rows, "rows");
    }

    function test_join_RevertWhen_notInvited() public {
        bytes32 id = create(_invited());
        bytes memory good = _invitation(id, 0, 10, uint64(START));
        bytes memory forged = _sign(1, _digest(id, controller(0), identity(0), dataset(0), 10, uint64(START)));
        vm.deal(controller(0), 1 ether);
        for (uint256 i; i < 4; ++i) {
            vm.prank(controller(0));
            refuses(abi.encodeWithSelector(IFederations.InvitationRefused.selector));
            ledger.join{value: 1 ether}(
                id,
                signer(0),
                payout(0),
                i == 0 ? identity(1) : identity(0),
                dataset(0),
                i == 1 ? 11 : 10,
                uint64(START),
                i == 2 ? bytes("") : i == 3 ? forged : good
            );
        }
        vm.deal(controller(1), 1 ether);
        vm.prank(controller(1));
        refuses(abi.encodeWithSelector(IFederations.InvitationRefused.selector));
        ledger.join{value: 1 ether}(id, signer(0), payout(0), identity(0), dataset(0), 10, uint64(START), good);
        vm.warp(START + 1);
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.InvitationExpired.selector, uint64(START)));
        ledger.join{value: 1 ether}(id, signer(0), payout(0), identity(0), dataset(0), 10, uint64(START), good);
        vm.warp(START);
        _joinInvited(id, 0, 10, uint64(START), good);
    }

    function test_join_invitedByAContract() public {
        Wallet wallet = new Wallet();
        vm.deal(address(wallet), 10 ether);
        PolicyHeader memory p = _invited();
        vm.prank(address(wallet));
        bytes32 id = ledger.createFederation{value: 10 ether}(p, 0);
        vm.deal(controller(0), 1 ether);
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.InvitationRefused.selector));
        ledger.join{value: 1 ether}(id, signer(0), payout(0), identity(0), dataset(0), 10, uint64(START), "");
        wallet.approve(_digest(id, controller(0), identity(0), dataset(0), 10, uint64(START)));
        _joinInvited(id, 0, 10, uint64(START), "");
    }

    function test_join_RevertWhen_weightsOverflow() public {
        PolicyHeader memory p = _invited();
        p.weightCap = (1 << 31) - 1;
        bytes32 id = create(p);
        uint32 rows = (1 << 31) - 1;
        _joinInvited(id, 0, rows, uint64(START), _invitation(id, 0, rows, uint64(START)));
        bytes memory invitation = _invitation(id, 1, 1, uint64(START));
        vm.deal(controller(1), 1 ether);
        vm.prank(controller(1));
        refuses(abi.encodeWithSelector(IFederations.WeightOverflow.selector, uint256(1 << 31)));
        ledger.join{value: 1 ether}(id, signer(1), payout(1), identity(1), dataset(1), 1, uint64(START), invitation);
        leave(id, 0);
        _joinInvited(id, 1, 1, uint64(START), invitation);
    }

    function test_join_capsWeights() public {
        PolicyHeader memory p = _invited();
        p.weightCap = 1 << 30;
        bytes32 id = create(p);
        _joinInvited(id, 0, type(uint32).max, uint64(START), _invitation(id, 0, type(uint32).max, uint64(START)));
        _joinInvited(id, 1, (1 << 30) - 1, uint64(START), _invitation(id, 1, (1 << 30) - 1, uint64(START)));
    }

    // ---------------------------------------------------------------- data sets

    function test_commitDataset_appends() public {
        bytes32 id = started();
        vm.prank(controller(1));
        ledger.commitDataset(id, 1, dataset(9), 55, 0, "");
        Dataset memory d = ledger.datasetOf(id, 1, 1);
        eq(d.root, dataset(9), "root");
        eq(d.rows, 55, "rows");
        eq(d.fromRound, 1, "from");
        eq(ledger.participantOf(id, 1).datasets, 2, "count");
    }

    function test_commitDataset_byInvitation() public {
        bytes32 id = create(_invited());
        _joinInvited(id, 0, 10, uint64(START), _invitation(id, 0, 10, uint64(START)));
        bytes memory invitation =
            _sign(CREATOR_KEY, _digestAt(id, controller(0), identity(0), dataset(9), 1, 7, uint64(START)));
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.InvitationRefused.selector));
        ledger.commitDataset(id, 0, dataset(9), 8, uint64(START), invitation);
        vm.prank(controller(0));
        ledger.commitDataset(id, 0, dataset(9), 7, uint64(START), invitation);
        eq(ledger.datasetOf(id, 0, 1).rows, 7, "rows");
    }

    /// @dev Else a participant could go back to rows that the creator has attested another number of since.
    function test_commitDataset_RevertWhen_theInvitationWasUsed() public {
        bytes32 id = create(_invited());
        bytes memory first = _invitation(id, 0, 10, uint64(START));
        _joinInvited(id, 0, 10, uint64(START), first);
        bytes memory second =
            _sign(CREATOR_KEY, _digestAt(id, controller(0), identity(0), dataset(9), 1, 7, uint64(START)));
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.InvitationRefused.selector));
        ledger.commitDataset(id, 0, dataset(0), 10, uint64(START), first);
        vm.prank(controller(0));
        ledger.commitDataset(id, 0, dataset(9), 7, uint64(START), second);
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.InvitationRefused.selector));
        ledger.commitDataset(id, 0, dataset(9), 7, uint64(START), second);
    }

    function test_commitDataset_replacesTheWeight() public {
        PolicyHeader memory p = _invited();
        p.weightCap = (1 << 31) - 1;
        bytes32 id = create(p);
        uint32 rows = (1 << 31) - 1;
        _joinInvited(id, 0, rows, uint64(START), _invitation(id, 0, rows, uint64(START)));
        bytes memory invitation =
            _sign(CREATOR_KEY, _digestAt(id, controller(0), identity(0), dataset(0), 1, 5, uint64(START)));
        vm.prank(controller(0));
        ledger.commitDataset(id, 0, dataset(0), 5, uint64(START), invitation);
        _joinInvited(id, 1, rows - 5, uint64(START), _invitation(id, 1, rows - 5, uint64(START)));
    }

    // ---------------------------------------------------------------- leaving, signers

    function test_leave_atTheRoundBoundary() public {
        bytes32 id = started();
        leave(id, 0);
        eq(view_(id).seats, 3, "seats now");
        commitAll(id);
        fullRound(id, header(id));
        eq(view_(id).seats, 2, "seats later");
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(0), 1));
        ledger.commitUpdate(id, 1, bytes32(uint256(1)));
    }

    function test_leave_whileForming() public {
        bytes32 id = create(policy());
        join(id, 0);
        leave(id, 0);
        vm.prank(controller(0));
        ledger.withdrawStake(id, 0);
        eq(controller(0).balance, 1 ether, "stake");
        join(id, 1);
        join(id, 2);
        holds(view_(id).phase == Phase.Forming, "forming");
        join(id, 3);
        eq(view_(id).seats, 3, "seats");
        eq(view_(id).known, 4, "known");
    }

    function test_leave_RevertWhen_notAllowed() public {
        bytes32 id = started();
        refuses(abi.encodeWithSelector(IFederations.NotController.selector, controller(0)));
        ledger.leave(id, 0);
        refuses(abi.encodeWithSelector(IFederations.UnknownParticipant.selector, 3));
        ledger.leave(id, 3);
        leave(id, 0);
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.AlreadyLeft.selector, 0));
        ledger.leave(id, 0);
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.AlreadyLeft.selector, 0));
        ledger.commitDataset(id, 0, 0, 0, 0, "");
    }

    function test_rotateSigner_movesTheSeat() public {
        bytes32 id = started();
        commit(id, 0);
        vm.prank(controller(0));
        ledger.rotateSigner(id, 0, address(0xABC));
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(0), 0));
        ledger.commitUpdate(id, 0, bytes32(uint256(1)));
        vm.prank(address(0xABC));
        refuses(abi.encodeWithSelector(IFederations.AlreadyCommitted.selector, 0, 0));
        ledger.commitUpdate(id, 0, bytes32(uint256(1)));
        commit(id, 1);
        commit(id, 2);
        bytes32 result = proposeAs(address(0xABC), id, header(id));
        vm.prank(address(0xABC));
        ledger.vote(id, 0, 0, result, true);
        vm.prank(controller(0));
        ledger.rotateSigner(id, 0, address(0xABCD));
        vm.prank(address(0xABCD));
        refuses(abi.encodeWithSelector(IFederations.AlreadyVoted.selector, 0, 0, 0));
        ledger.vote(id, 0, 0, result, true);
    }

    function test_rotateSigner_RevertWhen_notAllowed() public {
        bytes32 id = started();
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.SignerTaken.selector, signer(1)));
        ledger.rotateSigner(id, 0, signer(1));
        vm.prank(controller(0));
        ledger.rotateSigner(id, 0, address(0xABC));
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.SignerTaken.selector, signer(0)));
        ledger.rotateSigner(id, 0, signer(0));
        refuses(abi.encodeWithSelector(IFederations.NotController.selector, controller(0)));
        ledger.rotateSigner(id, 0, address(0xDEF));
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.ZeroAddress.selector));
        ledger.rotateSigner(id, 0, address(0));
    }

    // ---------------------------------------------------------------- stakes

    function _locked(bytes32 id, uint32 i) private {
        vm.prank(controller(i));
        refuses(abi.encodeWithSelector(IFederations.StakeLocked.selector, i));
        ledger.withdrawStake(id, i);
    }

    function test_withdrawStake_afterLeavingAndSettling() public {
        bytes32 id = started();
        _locked(id, 0);
        leave(id, 0);
        _locked(id, 0); // still seated in this round
        commitAll(id);
        fullRound(id, header(id));
        _locked(id, 0); // accepted, not settled
        settleAll(id);
        vm.prank(controller(0));
        ledger.withdrawStake(id, 0);
        eq(controller(0).balance, 1 ether, "stake");
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.NothingToWithdraw.selector, controller(0)));
        ledger.withdrawStake(id, 0);
        refuses(abi.encodeWithSelector(IFederations.NotController.selector, controller(1)));
        ledger.withdrawStake(id, 1);
    }

    function test_withdrawStake_afterAVoidRound() public {
        bytes32 id = started();
        leave(id, 0);
        commit(id, 0);
        miss(id);
        vm.prank(controller(0));
        ledger.withdrawStake(id, 0);
    }

    function test_withdrawStake_whenLaterRoundsStand() public {
        bytes32 id = started();
        leave(id, 0);
        miss(id);
        fullRound(id); // round 1, without it, accepted and not settled
        vm.prank(controller(0));
        ledger.withdrawStake(id, 0);
    }

    /// @dev Proposing as anybody is not acting from a seat.
    function test_withdrawStake_whenItProposedAfterItLeft() public {
        bytes32 id = started();
        leave(id, 0);
        commitAll(id);
        fullRound(id, header(id));
        settleAll(id); // round 1 is void, for want of commits
        commit(id, 1);
        commit(id, 2);
        miss(id);
        bytes32 result = proposeAs(signer(0), id, header(id));
        eq(ledger.resultOf(id, result).proposer, signer(0), "proposer");
        vm.prank(controller(0));
        ledger.withdrawStake(id, 0);
        eq(controller(0).balance, 1 ether, "stake");
    }

    function test_withdrawStake_afterTheEnd() public {
        PolicyHeader memory p = policy();
        p.rounds = 1;
        bytes32 id = started(p, 3);
        fullRound(id);
        holds(view_(id).phase == Phase.Ended, "ended");
        _locked(id, 0);
        settleAll(id);
        for (uint32 i; i < 3; ++i) {
            vm.prank(controller(i));
            ledger.withdrawStake(id, i);
        }
    }

    function test_withdrawStake_RevertWhen_thereIsNone() public {
        PolicyHeader memory p = policy();
        p.stake = 0;
        bytes32 id = create(p);
        join(id, 0, 0);
        leave(id, 0);
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.NothingToWithdraw.selector, controller(0)));
        ledger.withdrawStake(id, 0);
    }

    function test_participants_RevertWhen_ended() public {
        PolicyHeader memory p = policy();
        p.rounds = 1;
        bytes32 id = started(p, 3);
        fullRound(id);
        vm.deal(controller(3), 1 ether);
        vm.prank(controller(3));
        refuses(abi.encodeWithSelector(IFederations.HasEnded.selector));
        ledger.join{value: 1 ether}(id, signer(3), payout(3), 0, 0, 1, 0, "");
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.HasEnded.selector));
        ledger.leave(id, 0);
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.HasEnded.selector));
        ledger.rotateSigner(id, 0, address(1));
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.HasEnded.selector));
        ledger.commitDataset(id, 0, 0, 0, 0, "");
    }
}
