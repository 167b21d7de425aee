// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {Application, Dataset, IFederations, ParticipantView, Phase} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";
import {Hostile} from "./Hostile.sol";

/// @notice An account that is a contract (ERC-1271) and approves one digest.
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
    function _private() private view returns (PolicyHeader memory p) {
        p = policy();
        p.open = false;
    }

    function _content(bytes32 id, uint256 i, bytes32 root, uint32 at, uint32 rows, uint64 expires)
        private
        pure
        returns (bytes32)
    {
        bytes32 kind = keccak256(
            "Invitation(bytes32 federation,address controller,bytes32 identity,bytes32 datasetRoot,uint32 dataset,uint32 rows,uint64 expires)"
        );
        return keccak256(abi.encode(kind, id, controller(i), identity(i), root, at, rows, expires));
    }

    function _invitation(bytes32 id, uint256 i, uint32 rows, uint64 expires) private view returns (bytes memory) {
        return sign(CREATOR_KEY, _content(id, i, dataset(i), 0, rows, expires));
    }

    function _invited(uint256 i, uint32 rows, uint64 expires) private pure returns (Application memory a) {
        a = application(i);
        (a.rows, a.expires) = (rows, expires);
    }

    function _pay(address who) private {
        vm.deal(who, STAKE);
        vm.prank(who);
    }

    function _joinInvited(bytes32 id, Application memory a, bytes memory invitation) private {
        _pay(a.controller);
        ledger.join{value: STAKE}(id, a, invitation, "");
    }

    function _joinInvited(bytes32 id, uint256 i, uint32 rows) private {
        _joinInvited(id, _invited(i, rows, uint64(START)), _invitation(id, i, rows, uint64(START)));
    }

    function _refused(bytes32 id, Application memory a, bytes memory invitation, bytes memory reason) private {
        _pay(a.controller);
        refuses(reason);
        ledger.join{value: STAKE}(id, a, invitation, "");
    }

    function _refused(bytes32 id, Application memory a, bytes memory reason) private {
        _refused(id, a, "", reason);
    }

    // ---------------------------------------------------------------- joining

    function test_join_opensRound0() public {
        bytes32 id = create(policy());
        join(id, 0);
        join(id, 1);
        phase(id, Phase.Forming, "forming");
        join(id, 2);
        phase(id, Phase.Commit, "open");
        eq(view_(id).seats, 3, "seats");
        eq(view_(id).known, 3, "known");
        eq(view_(id).deadline, START + 60, "deadline");
    }

    function test_join_keepsWhoItIs() public {
        bytes32 id = create(policy());
        join(id, 0);
        ParticipantView memory p = ledger.participantOf(id, 0);
        eq(p.signer, signer(0), "signer");
        eq(p.controller, controller(0), "controller");
        eq(p.payout, payout(0), "payout");
        eq(p.identity, identity(0), "identity");
        eq(p.stake, STAKE, "stake");
        holds(p.leftAt == 0 && !p.slashed, "flags");
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
        _refused(id, application(5), abi.encodeWithSelector(IFederations.FederationFull.selector, 5));
    }

    function test_join_RevertWhen_takenOrZero() public {
        bytes32 id = create(policy());
        join(id, 0);
        Application memory a = application(1);
        a.controller = controller(0);
        _refused(id, a, abi.encodeWithSelector(IFederations.ControllerTaken.selector, controller(0)));
        a = application(1);
        a.signer = signer(0);
        _refused(id, a, abi.encodeWithSelector(IFederations.SignerTaken.selector, signer(0)));
        a.signer = address(0);
        _refused(id, a, abi.encodeWithSelector(IFederations.ZeroAddress.selector));
        a = application(1);
        a.payout = address(0);
        _refused(id, a, abi.encodeWithSelector(IFederations.ZeroAddress.selector));
        bytes32 none = bytes32(uint256(1));
        _refused(none, application(1), abi.encodeWithSelector(IFederations.UnknownFederation.selector, none));
    }

    function testFuzz_join_RevertWhen_valueIsWrong(uint256 value) public {
        bytes32 id = create(policy());
        value = bound(value, 0, 3 ether);
        vm.assume(value != STAKE);
        Application memory a = application(0);
        vm.deal(controller(0), value);
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.WrongValue.selector, STAKE, value));
        ledger.join{value: value}(id, a, "", "");
    }

    // ---------------------------------------------------------------- consent

    /// @dev Whoever brings the consent pays the stake; it goes back to the controller.
    function test_join_bySomebodyElse() public {
        bytes32 id = create(policy());
        Application memory a = application(0);
        bytes memory consent = sign(controllerKey(0), joinContent(id, a));
        _pay(ANYBODY);
        ledger.join{value: STAKE}(id, a, "", consent);
        eq(ledger.participantOf(id, 0).controller, controller(0), "controller");
        leave(id, 0);
        vm.prank(controller(0));
        ledger.withdrawStake(id, 0);
        eq(controller(0).balance, STAKE, "stake");
    }

    function test_join_consentOfAContract() public {
        bytes32 id = create(policy());
        Wallet wallet = new Wallet();
        Application memory a = application(0);
        a.controller = address(wallet);
        _pay(ANYBODY);
        refuses(abi.encodeWithSelector(IFederations.ConsentRefused.selector, address(wallet)));
        ledger.join{value: STAKE}(id, a, "", "");
        wallet.approve(typed(joinContent(id, a)));
        _pay(ANYBODY);
        ledger.join{value: STAKE}(id, a, "", "");
    }

    /// @dev Code that an account delegates to (EIP-7702).
    function _delegate(address account, address code) private {
        vm.etch(account, abi.encodePacked(hex"ef0100", code));
    }

    /// @dev A key signs for its account whatever code that delegates to: it is not even called.
    function testFuzz_join_byTheKeysOfDelegatedAccounts(uint256 way) public {
        Hostile code = new Hostile(Hostile.Way(bound(way, 0, 3)));
        bytes32 id = create(_private());
        _delegate(creator, address(code));
        _delegate(controller(0), address(code));
        Application memory a = _invited(0, 100, uint64(START));
        bytes memory invitation = _invitation(id, 0, 100, uint64(START));
        bytes memory consent = sign(controllerKey(0), joinContent(id, a));
        _pay(ANYBODY);
        uint256 gas = gasleft();
        ledger.join{value: STAKE}(id, a, invitation, consent);
        holds(gas - gasleft() < 400_000, "no code ran");
        eq(ledger.participantOf(id, 0).controller, controller(0), "joined");
    }

    /// @dev Where the key did not sign, the account's code is asked, and may use a fixed amount of gas.
    function testFuzz_join_RevertWhen_theCodeIsHostile(uint256 way, bool delegated, bytes memory consent) public {
        bytes32 id = create(policy());
        Application memory a = application(0);
        Hostile code = new Hostile(Hostile.Way(bound(way, 0, 5)));
        if (delegated) _delegate(a.controller, address(code));
        else a.controller = address(code);
        _pay(ANYBODY);
        uint256 gas = gasleft();
        vm.expectRevert(abi.encodeWithSelector(IFederations.ConsentRefused.selector, a.controller));
        ledger.join{value: STAKE}(id, a, "", consent);
        holds(gas - gasleft() < 700_000, "a fixed amount of gas");
    }

    /// @dev A delegated account may still sign by its code.
    function test_join_consentOfADelegatedAccount() public {
        bytes32 id = create(policy());
        Application memory a = application(0);
        _delegate(a.controller, address(new Wallet()));
        Wallet(a.controller).approve(typed(joinContent(id, a)));
        _pay(ANYBODY);
        ledger.join{value: STAKE}(id, a, "", "");
        eq(ledger.participantOf(id, 0).controller, a.controller, "joined");
    }

    /// @dev A consent is to one federation, and to every word of the application.
    function testFuzz_join_RevertWhen_itIsAnothersConsent(uint256 which, bytes32 word) public {
        bytes32 id = create(policy());
        Application memory a = application(0);
        bytes32 content = joinContent(id, a);
        which = bound(which, 0, 8);
        if (which == 0) a.controller = controller(1);
        if (which == 1) a.signer = address(uint160(uint256(keccak256(abi.encode(word)))));
        if (which == 2) a.payout = address(uint160(uint256(keccak256(abi.encode(word)))));
        if (which == 3) a.identity = keccak256(abi.encode(word));
        if (which == 4) a.key = keccak256(abi.encode(word));
        if (which == 5) a.datasetRoot = keccak256(abi.encode(word));
        if (which == 6) a.rows = 101;
        if (which == 7) content = joinContent(bytes32(uint256(id) ^ 1), a);
        bytes memory consent = sign(which == 8 ? controllerKey(1) : controllerKey(0), content);
        _pay(ANYBODY);
        refuses(abi.encodeWithSelector(IFederations.ConsentRefused.selector, a.controller));
        ledger.join{value: STAKE}(id, a, "", consent);
    }

    function test_join_RevertWhen_theConsentIsUsedAgain() public {
        bytes32 id = create(policy());
        Application memory a = application(0);
        bytes memory consent = sign(controllerKey(0), joinContent(id, a));
        _pay(ANYBODY);
        ledger.join{value: STAKE}(id, a, "", consent);
        leave(id, 0);
        _pay(ANYBODY);
        refuses(abi.encodeWithSelector(IFederations.ControllerTaken.selector, controller(0)));
        ledger.join{value: STAKE}(id, a, "", consent);
    }

    // ---------------------------------------------------------------- invitations

    function test_join_RevertWhen_openOneIsInvited() public {
        bytes32 id = create(policy());
        bytes memory invitation = _invitation(id, 0, 100, 0);
        _refused(id, application(0), invitation, abi.encodeWithSelector(IFederations.InvitationRefused.selector));
    }

    function testFuzz_join_byInvitation(uint32 rows, uint64 expires) public {
        vm.assume(expires >= START);
        bytes32 id = create(_private());
        _joinInvited(id, _invited(0, rows, expires), _invitation(id, 0, rows, expires));
        eq(ledger.datasetOf(id, 0, 0).rows, rows, "rows");
    }

    function test_join_RevertWhen_notInvited() public {
        bytes32 id = create(_private());
        uint64 expires = uint64(START);
        bytes memory good = _invitation(id, 0, 10, expires);
        bytes memory reason = abi.encodeWithSelector(IFederations.InvitationRefused.selector);
        Application memory a = _invited(0, 10, expires);
        _refused(id, a, "", reason);
        _refused(id, a, sign(1, _content(id, 0, dataset(0), 0, 10, expires)), reason); // forged
        a.identity = identity(1);
        _refused(id, a, good, reason);
        a = _invited(0, 11, expires);
        _refused(id, a, good, reason);
        a = _invited(0, 10, expires);
        (a.controller, a.signer) = (controller(1), signer(1));
        _refused(id, a, good, reason);
        a = _invited(0, 10, expires);
        vm.warp(START + 1);
        _refused(id, a, good, abi.encodeWithSelector(IFederations.InvitationExpired.selector, expires));
        vm.warp(START);
        _joinInvited(id, a, good);
    }

    function test_join_invitedByAContract() public {
        Wallet wallet = new Wallet();
        vm.deal(address(wallet), 10 ether);
        PolicyHeader memory p = _private();
        vm.prank(address(wallet));
        bytes32 id = ledger.createFederation{value: 10 ether}(p, 0, "");
        Application memory a = _invited(0, 10, uint64(START));
        _refused(id, a, abi.encodeWithSelector(IFederations.InvitationRefused.selector));
        wallet.approve(typed(_content(id, 0, dataset(0), 0, 10, uint64(START))));
        _joinInvited(id, a, "");
    }

    /// @dev Whoever leaves takes its weight along, and no other.
    function test_leave_weights() public {
        PolicyHeader memory p = _private();
        p.weightCap = (1 << 31) - 1;
        bytes32 id = create(p);
        _joinInvited(id, 0, (1 << 30) - 2);
        _joinInvited(id, 1, 1 << 30);
        leave(id, 0);
        bytes memory invitation = _invitation(id, 2, 1 << 30, uint64(START));
        Application memory a = _invited(2, 1 << 30, uint64(START));
        _refused(id, a, invitation, abi.encodeWithSelector(IFederations.WeightOverflow.selector, uint256(1 << 31)));
        _joinInvited(id, 2, (1 << 30) - 1);
    }

    function test_join_RevertWhen_weightsOverflow() public {
        PolicyHeader memory p = _private();
        p.weightCap = (1 << 31) - 1;
        bytes32 id = create(p);
        _joinInvited(id, 0, (1 << 31) - 1);
        bytes memory invitation = _invitation(id, 1, 1, uint64(START));
        Application memory a = _invited(1, 1, uint64(START));
        _refused(id, a, invitation, abi.encodeWithSelector(IFederations.WeightOverflow.selector, uint256(1 << 31)));
        leave(id, 0);
        _joinInvited(id, a, invitation);
    }

    function test_join_capsWeights() public {
        PolicyHeader memory p = _private();
        p.weightCap = 1 << 30;
        bytes32 id = create(p);
        _joinInvited(id, 0, type(uint32).max);
        _joinInvited(id, 1, (1 << 30) - 1);
    }

    // ---------------------------------------------------------------- data sets

    function _commit(bytes32 id, uint256 at, uint32 rows, bytes memory invitation) private {
        vm.prank(controller(0));
        ledger.commitDataset(id, 0, dataset(at), rows, uint64(START), invitation);
    }

    function _amend(bytes32 id, uint32 rows) private {
        vm.prank(controller(0));
        ledger.amendDataset(id, 0, dataset(50 + rows), rows, keccak256("erased"));
    }

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
        bytes32 id = create(_private());
        _joinInvited(id, 0, 10);
        bytes memory invitation = sign(CREATOR_KEY, _content(id, 0, dataset(9), 1, 7, uint64(START)));
        vm.prank(controller(0));
        refuses(IFederations.InvitationRefused.selector);
        ledger.commitDataset(id, 0, dataset(9), 8, uint64(START), invitation);
        _commit(id, 9, 7, invitation);
        eq(ledger.datasetOf(id, 0, 1).rows, 7, "rows");
    }

    /// @dev Else a participant could go back to rows that the creator has attested another number of since.
    function test_commitDataset_RevertWhen_theInvitationWasUsed() public {
        bytes32 id = create(_private());
        bytes memory first = _invitation(id, 0, 10, uint64(START));
        _joinInvited(id, 0, 10);
        bytes memory second = sign(CREATOR_KEY, _content(id, 0, dataset(9), 1, 7, uint64(START)));
        vm.prank(controller(0));
        refuses(IFederations.InvitationRefused.selector);
        ledger.commitDataset(id, 0, dataset(0), 10, uint64(START), first);
        _commit(id, 9, 7, second);
        vm.prank(controller(0));
        refuses(IFederations.InvitationRefused.selector);
        ledger.commitDataset(id, 0, dataset(9), 7, uint64(START), second);
    }

    function test_commitDataset_replacesTheWeight() public {
        PolicyHeader memory p = _private();
        p.weightCap = (1 << 31) - 1;
        bytes32 id = create(p);
        uint32 rows = (1 << 31) - 1;
        _joinInvited(id, 0, rows);
        _commit(id, 0, 5, sign(CREATOR_KEY, _content(id, 0, dataset(0), 1, 5, uint64(START))));
        _joinInvited(id, 1, rows - 5);
    }

    /// @dev Rows go away without an invitation, and never come back without one.
    function testFuzz_amendDataset_takesRowsAway(uint32 attested, uint32 rows, uint32 again) public {
        bytes32 id = create(_private());
        _joinInvited(id, 0, attested);
        if (rows > attested) {
            vm.prank(controller(0));
            refuses(abi.encodeWithSelector(IFederations.RowsNotAttested.selector, attested));
            ledger.amendDataset(id, 0, dataset(1), rows, 0);
            return;
        }
        _amend(id, rows);
        eq(ledger.datasetOf(id, 0, 1).rows, rows, "rows");
        eq(ledger.datasetOf(id, 0, 0).rows, attested, "what was attested");
        if (again <= rows) return;
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.RowsNotAttested.selector, rows));
        ledger.amendDataset(id, 0, dataset(1), again, 0);
    }

    function test_amendDataset_freesItsWeight() public {
        PolicyHeader memory p = _private();
        p.weightCap = (1 << 31) - 1;
        bytes32 id = create(p);
        uint32 rows = (1 << 31) - 1;
        _joinInvited(id, 0, rows);
        _amend(id, 5);
        _joinInvited(id, 1, rows - 5);
    }

    /// @dev Erasing is not for members alone: not for those only that still take part, nor while it lasts only.
    function test_amendDataset_afterLeavingAndTheEnd() public {
        PolicyHeader memory p = policy();
        (p.rounds, p.startParticipants) = (1, 3);
        bytes32 id = started(p, 3);
        leave(id, 0);
        _amend(id, 60);
        eq(ledger.datasetOf(id, 0, 1).fromRound, 1, "from the next round");
        fullRound(id);
        phase(id, Phase.Ended, "ended");
        _amend(id, 0);
        eq(ledger.participantOf(id, 0).datasets, 3, "count");
        refuses(abi.encodeWithSelector(IFederations.NotController.selector, controller(0)));
        ledger.amendDataset(id, 0, dataset(1), 0, 0);
        refuses(abi.encodeWithSelector(IFederations.UnknownParticipant.selector, 3));
        ledger.amendDataset(id, 3, dataset(1), 0, 0);
        refuses(abi.encodeWithSelector(IFederations.UnknownParticipant.selector, 4));
        ledger.amendDataset(id, 4, dataset(1), 0, 0);
    }

    /// @dev Whoever left weighs nothing, so its amendments change no sum.
    function testFuzz_amendDataset_leftWeighsNothing(uint32 rows) public {
        PolicyHeader memory p = _private();
        p.weightCap = (1 << 31) - 1;
        bytes32 id = create(p);
        uint32 all = (1 << 31) - 1;
        _joinInvited(id, 0, all);
        leave(id, 0);
        _amend(id, uint32(bound(rows, 0, all)));
        _joinInvited(id, 1, all);
    }

    // ---------------------------------------------------------------- leaving

    function test_leave_atTheRoundBoundary() public {
        bytes32 id = started();
        leave(id, 0);
        eq(view_(id).seats, 3, "seats now");
        fullRound(id);
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
        eq(controller(0).balance, STAKE, "stake");
        join(id, 1);
        join(id, 2);
        phase(id, Phase.Forming, "forming");
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
        bytes memory left = abi.encodeWithSelector(IFederations.AlreadyLeft.selector, 0);
        vm.startPrank(controller(0));
        refuses(left);
        ledger.leave(id, 0);
        refuses(left);
        ledger.commitDataset(id, 0, 0, 0, 0, "");
        refuses(left);
        ledger.rotateSigner(id, 0, address(0xABC));
        refuses(left);
        ledger.registerKey(id, 0, 0);
        vm.stopPrank();
    }

    // ---------------------------------------------------------------- signers and keys

    function _rotate(bytes32 id, uint256 i, address to) private {
        vm.prank(controller(i));
        ledger.rotateSigner(id, uint32(i), to);
    }

    /// @dev What is signed for this round stays this round's: the old signer commits, proposes and votes in it to its end.
    function test_rotateSigner_fromTheNextRound() public {
        bytes32 id = started();
        address next = address(0xABC);
        _rotate(id, 0, next);
        eq(ledger.participantOf(id, 0).signer, next, "signer");
        vm.prank(next);
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, next, 0));
        ledger.commitUpdate(id, 0, bytes32(uint256(1)));
        commitAll(id);
        ResultHeader memory h = header(id);
        vm.deal(next, BOND);
        vm.prank(next);
        refuses(abi.encodeWithSelector(IFederations.NotInTurn.selector, 0));
        ledger.proposeResult{value: BOND}(id, h, INDEX, "");
        bytes32 result = propose(id, h);
        vm.prank(next);
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, next, 0));
        ledger.vote(id, 0, 0, result, 0, true);
        vote(id, 0, true);
        vote(id, 1, true);
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(0), 1));
        ledger.commitUpdate(id, 1, bytes32(uint256(1)));
        vm.prank(next);
        ledger.commitUpdate(id, 1, bytes32(uint256(1)));
    }

    /// @dev Of several in one round only the last takes the seat; those between are used up.
    function testFuzz_rotateSigner_often(uint256 times) public {
        bytes32 id = started();
        times = bound(times, 1, 8);
        for (uint256 i = 1; i <= times; ++i) {
            _rotate(id, 0, address(uint160(0xABC000 + i)));
        }
        fullRound(id);
        for (uint256 i = 1; i < times; ++i) {
            address passed = address(uint160(0xABC000 + i));
            vm.prank(passed);
            refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, passed, 1));
            ledger.commitUpdate(id, 1, bytes32(uint256(1)));
            vm.prank(controller(1));
            refuses(abi.encodeWithSelector(IFederations.SignerTaken.selector, passed));
            ledger.rotateSigner(id, 1, passed);
        }
        vm.prank(address(uint160(0xABC000 + times)));
        ledger.commitUpdate(id, 1, bytes32(uint256(1)));
    }

    function test_rotateSigner_whileForming() public {
        bytes32 id = create(policy());
        join(id, 0);
        _rotate(id, 0, address(0xABC));
        join(id, 1);
        join(id, 2);
        vm.prank(address(0xABC));
        ledger.commitUpdate(id, 0, bytes32(uint256(1)));
        vm.prank(signer(0));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, signer(0), 0));
        ledger.commitUpdate(id, 0, bytes32(uint256(1)));
    }

    function test_leave_afterARotation() public {
        bytes32 id = started();
        _rotate(id, 0, address(0xABC));
        leave(id, 0);
        commit(id, 0); // in this round still, by the old signer
        commit(id, 1);
        commit(id, 2);
        fullRound(id, header(id));
        vm.prank(address(0xABC));
        refuses(abi.encodeWithSelector(IFederations.NotSeated.selector, address(0xABC), 1));
        ledger.commitUpdate(id, 1, bytes32(uint256(1)));
    }

    function test_rotateSigner_RevertWhen_notAllowed() public {
        bytes32 id = started();
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.SignerTaken.selector, signer(1)));
        ledger.rotateSigner(id, 0, signer(1));
        _rotate(id, 0, address(0xABC));
        vm.prank(controller(0));
        refuses(abi.encodeWithSelector(IFederations.SignerTaken.selector, signer(0)));
        ledger.rotateSigner(id, 0, signer(0));
        refuses(abi.encodeWithSelector(IFederations.NotController.selector, controller(0)));
        ledger.rotateSigner(id, 0, address(0xDEF));
        vm.prank(controller(0));
        refuses(IFederations.ZeroAddress.selector);
        ledger.rotateSigner(id, 0, address(0));
    }

    function test_registerKey() public {
        bytes32 id = started();
        bytes32 h = ledger.accumulator(id);
        vm.recordLogs();
        vm.prank(controller(2));
        ledger.registerKey(id, 2, keccak256("new key"));
        eq(replay(id, h, vm.getRecordedLogs()), ledger.accumulator(id), "history");
        refuses(abi.encodeWithSelector(IFederations.NotController.selector, controller(2)));
        ledger.registerKey(id, 2, 0);
    }

    // ---------------------------------------------------------------- stakes

    function _withdrawStake(bytes32 id, uint256 i) private {
        vm.prank(ANYBODY); // it goes to the controller, whoever calls
        ledger.withdrawStake(id, uint32(i));
    }

    function _locked(bytes32 id, uint256 i) private {
        refuses(abi.encodeWithSelector(IFederations.StakeLocked.selector, i));
        ledger.withdrawStake(id, uint32(i));
    }

    function test_withdrawStake_afterLeavingAndSettling() public {
        bytes32 id = started();
        _locked(id, 0);
        leave(id, 0);
        _locked(id, 0); // still seated in this round
        fullRound(id);
        _locked(id, 0); // accepted, not settled
        settleAll(id);
        _withdrawStake(id, 0);
        eq(controller(0).balance, STAKE, "stake");
        refuses(abi.encodeWithSelector(IFederations.NothingToWithdraw.selector, controller(0)));
        ledger.withdrawStake(id, 0);
    }

    /// @dev What a settled result says is charged to what is still there: the time counts from its settlement, however long after
    /// the leaving or the end that came, and from no later one's.
    function testFuzz_withdrawStake_afterTheUnbondingWindow(uint32 window, uint256 before, uint256 after_, bool ends)
        public
    {
        PolicyHeader memory p = policy();
        p.unbondingWindow = uint32(bound(window, 1, 1 << 30));
        (before, after_) = (bound(before, 0, 4), bound(after_, 0, 4));
        p.rounds = uint32(before + 1 + (ends ? 0 : after_));
        bytes32 id = started(p, 3);
        for (uint256 i; i < before; ++i) {
            fullRound(id);
        }
        if (!ends) leave(id, 0);
        fullRound(id);
        settleAll(id);
        uint256 since = vm.getBlockTimestamp();
        for (uint256 i; i < after_ && !ends; ++i) {
            if (view_(id).phase == Phase.Ended) break;
            if (view_(id).round != 0 && vm.getBlockTimestamp() >= view_(id).deadline) miss(id);
            fullRound(id);
        }
        pass(200);
        if (!ends && after_ != 0) ledger.advance(id);
        if (vm.getBlockTimestamp() < since + p.unbondingWindow) {
            _locked(id, 0);
            vm.warp(since + p.unbondingWindow - 1);
            _locked(id, 0);
            vm.warp(since + p.unbondingWindow);
        }
        _withdrawStake(id, 0);
        eq(controller(0).balance, STAKE, "stake");
    }

    function test_withdrawStake_afterAVoidRound() public {
        bytes32 id = started();
        leave(id, 0);
        commit(id, 0);
        miss(id);
        _withdrawStake(id, 0);
    }

    function test_withdrawStake_whenLaterRoundsStand() public {
        bytes32 id = started();
        leave(id, 0);
        miss(id);
        fullRound(id); // round 1, without it, accepted and not settled
        _withdrawStake(id, 0);
    }

    /// @dev Proposing as anybody is not acting from a seat.
    function test_withdrawStake_whenItProposedAfterItLeft() public {
        bytes32 id = started();
        leave(id, 0);
        fullRound(id);
        settleAll(id); // round 1 is void, for want of commits
        commit(id, 1);
        commit(id, 2);
        miss(id);
        bytes32 result = proposeAs(signer(0), id, header(id));
        eq(ledger.resultOf(id, result).proposer, signer(0), "proposer");
        _withdrawStake(id, 0);
        eq(controller(0).balance, STAKE, "stake");
    }

    function test_withdrawStake_afterTheEnd() public {
        PolicyHeader memory p = policy();
        p.rounds = 1;
        bytes32 id = started(p, 3);
        fullRound(id);
        phase(id, Phase.Ended, "ended");
        _locked(id, 0);
        settleAll(id);
        for (uint256 i; i < 3; ++i) {
            _withdrawStake(id, i);
        }
    }

    function test_withdrawStake_RevertWhen_thereIsNone() public {
        PolicyHeader memory p = policy();
        p.stake = 0;
        bytes32 id = create(p);
        join(id, 0, 0);
        leave(id, 0);
        refuses(abi.encodeWithSelector(IFederations.NothingToWithdraw.selector, controller(0)));
        ledger.withdrawStake(id, 0);
    }

    function test_participants_RevertWhen_ended() public {
        PolicyHeader memory p = policy();
        p.rounds = 1;
        bytes32 id = started(p, 3);
        fullRound(id);
        bytes memory ended = abi.encodeWithSelector(IFederations.HasEnded.selector);
        _refused(id, application(3), ended);
        vm.startPrank(controller(0));
        refuses(ended);
        ledger.leave(id, 0);
        refuses(ended);
        ledger.rotateSigner(id, 0, address(1));
        refuses(ended);
        ledger.commitDataset(id, 0, 0, 0, 0, "");
        refuses(ended);
        ledger.registerKey(id, 0, 0);
        vm.stopPrank();
    }
}
