// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {FederationView, IFederations, Phase} from "../src/interfaces/IFederations.sol";
import {Base} from "./Base.sol";
import {FeeToken, TestToken} from "./Tokens.sol";

contract CreationTest is Base {
    function test_createFederation_keepsThePolicy() public {
        PolicyHeader memory p = policy();
        bytes32 digest = sha256(abi.encode(p));
        vm.recordLogs();
        bytes32 id = create(p);
        eq(id, keccak256(abi.encode(block.chainid, address(ledger), creator, digest, bytes32(0))), "id");
        eq(replay(id, 0, vm.getRecordedLogs()), ledger.accumulator(id), "history");
        eq(
            ledger.accumulator(id),
            keccak256(
                abi.encode(
                    0,
                    vm.getBlockTimestamp(),
                    IFederations.FederationCreated.selector,
                    creator,
                    digest,
                    bytes32(0),
                    uint256(p.pool)
                )
            ),
            "first record"
        );
        FederationView memory v = view_(id);
        holds(v.phase == Phase.Forming, "phase");
        eq(v.creator, creator, "creator");
        eq(v.pool, 10 ether, "pool");
        eq(address(ledger).balance, 10 ether, "balance");
    }

    function test_createFederation_saltsApart() public {
        bytes32 id = create(policy());
        vm.prank(creator);
        bytes32 other = ledger.createFederation{value: 10 ether}(policy(), bytes32(uint256(1)), "");
        holds(id != other, "ids");
    }

    function test_createFederation_RevertWhen_itExists() public {
        bytes32 id = create(policy());
        PolicyHeader memory p = policy();
        vm.prank(creator);
        refuses(abi.encodeWithSelector(IFederations.FederationExists.selector, id));
        ledger.createFederation{value: 10 ether}(p, 0, "");
    }

    function testFuzz_createFederation_RevertWhen_valueIsWrong(uint256 value) public {
        value = bound(value, 0, 20 ether);
        vm.assume(value != 10 ether);
        PolicyHeader memory p = policy();
        vm.prank(creator);
        refuses(abi.encodeWithSelector(IFederations.WrongValue.selector, 10 ether, value));
        ledger.createFederation{value: value}(p, 0, "");
    }

    function test_createFederation_inToken() public {
        TestToken token = new TestToken();
        token.mint(creator, 10 ether);
        vm.prank(creator);
        token.approve(address(ledger), 10 ether);
        PolicyHeader memory p = policy();
        p.token = address(token);
        create(p);
        eq(token.balanceOf(address(ledger)), 10 ether, "pool");
    }

    function test_createFederation_RevertWhen_etherComesWithToken() public {
        PolicyHeader memory p = policy();
        p.token = address(new TestToken());
        vm.prank(creator);
        refuses(abi.encodeWithSelector(IFederations.WrongValue.selector, 0, 1));
        ledger.createFederation{value: 1}(p, 0, "");
    }

    function test_createFederation_RevertWhen_tokenTakesFees() public {
        TestToken token = new FeeToken(100);
        token.mint(creator, 10 ether);
        vm.prank(creator);
        token.approve(address(ledger), 10 ether);
        PolicyHeader memory p = policy();
        p.token = address(token);
        vm.prank(creator);
        refuses(abi.encodeWithSelector(IFederations.TransferIncomplete.selector, 10 ether, 9.9 ether));
        ledger.createFederation(p, 0, "");
    }

    function test_createFederation_RevertWhen_tokenIsNone() public {
        PolicyHeader memory p = policy();
        p.token = address(0xDEAD);
        vm.prank(creator);
        vm.expectRevert();
        ledger.createFederation(p, 0, "");
    }

    /// @dev Bits beyond a field's width would let one policy have two digests.
    function test_createFederation_RevertWhen_aWordIsNotCanonical() public {
        PolicyHeader memory p = policy();
        bytes memory data = abi.encodeCall(IFederations.createFederation, (p, bytes32(0), bytes("")));
        // tag, chain id, federation, parent, ancestor, initial model root, rest and the rule's parameters fill their words
        uint256 wide = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10;
        uint256 words = abi.encode(p).length / 32;
        for (uint256 i; i < words; ++i) {
            if (wide >> i & 1 == 1) continue;
            uint256 before;
            assembly {
                let at := add(data, add(0x24, mul(i, 0x20)))
                before := mload(at)
                mstore(at, or(before, shl(255, 1)))
            }
            vm.prank(creator);
            (bool done,) = address(ledger).call{value: 10 ether}(data);
            holds(!done, vm.toString(i));
            assembly {
                mstore(add(data, add(0x24, mul(i, 0x20))), before)
            }
        }
        vm.prank(creator);
        (bool created,) = address(ledger).call{value: 10 ether}(data);
        holds(created, "the canonical call");
    }

    // ---------------------------------------------------------------- policies that cannot be enforced

    function _refused(PolicyHeader memory p, bytes32 key) private {
        vm.prank(creator);
        refuses(abi.encodeWithSelector(IFederations.PolicyRefused.selector, key));
        ledger.createFederation{value: p.pool}(p, 0, "");
    }

    function test_createFederation_RevertWhen_commonIsForeign() public {
        PolicyHeader memory p = policy();
        p.common.tag = keccak256("fednode.result.1");
        _refused(p, "common");
        p = policy();
        p.common.chainId += 1;
        _refused(p, "common");
        p = policy();
        p.common.ledger = address(this);
        _refused(p, "common");
        p = policy();
        p.common.federation = bytes32(uint256(1));
        _refused(p, "common");
        p = policy();
        p.common.round = 1;
        _refused(p, "common");
    }

    function test_createFederation_RevertWhen_modelCannotBeEnforced() public {
        PolicyHeader memory p = policy();
        p.rule = 3;
        _refused(p, "rule");
        p = policy();
        p.ruleParameters = bytes32(uint256(1));
        _refused(p, "ruleParameters");
        p = policy();
        p.leaves = 0;
        _refused(p, "leaves");
        p.leaves = (1 << 20) + 1;
        _refused(p, "leaves");
        p = policy();
        p.coordinates = 0;
        _refused(p, "coordinates");
        p.coordinates = 3 * 256 + 1;
        _refused(p, "coordinates");
        p = policy();
        p.bound = 0;
        _refused(p, "bound");
        p.bound = 1 << 31;
        _refused(p, "bound");
        p = policy();
        p.weightCap = 0;
        _refused(p, "weightCap");
        p.weightCap = 1 << 31;
        _refused(p, "weightCap");
        p = policy();
        p.statistics = p.coordinates + 1;
        _refused(p, "statistics");
        p = policy();
        p.staleness = 17;
        _refused(p, "staleness");
        p.staleness = 16;
        p.visibility = 2;
        _refused(p, "visibility");
        p.visibility = 1;
        (p.leaves, p.coordinates, p.statistics) = (1 << 20, 1 << 28, 1 << 28);
        create(p);
    }

    /// @dev A trimmed mean cuts off something, and less than a half, at each end; the other rules take no parameters.
    function testFuzz_createFederation_ruleParameters(uint8 rule, uint256 parameters, bool small) public {
        PolicyHeader memory p = policy();
        p.rule = uint8(bound(rule, 0, 2));
        if (small) parameters = bound(parameters, 0, 500_001);
        p.ruleParameters = bytes32(parameters);
        bool right = p.rule == 1 ? parameters > 0 && parameters < 500_000 : parameters == 0;
        if (right) create(p);
        else _refused(p, "ruleParameters");
    }

    function test_createFederation_RevertWhen_membersCannotBeEnforced() public {
        PolicyHeader memory p = policy();
        p.maxParticipants = 0;
        _refused(p, "maxParticipants");
        p.valuation = 0;
        p.maxParticipants = (1 << 15) + 1;
        _refused(p, "maxParticipants");
        for (uint8 rule = 1; rule < 3; ++rule) {
            (p.rule, p.ruleParameters, p.maxParticipants) = (rule, bytes32(uint256(rule == 1 ? 1 : 0)), 65);
            _refused(p, "maxParticipants");
            p.maxParticipants = 64;
            create(p);
        }
        p = policy();
        p.committeeSize = 0;
        _refused(p, "committeeSize");
        p.committeeSize = 129;
        _refused(p, "committeeSize");
        p = policy();
        p.startParticipants = 0;
        _refused(p, "startParticipants");
        p.startParticipants = 6;
        _refused(p, "startParticipants");
        p = policy();
        p.leastUpdates = 0;
        _refused(p, "leastUpdates");
        p.leastUpdates = 6;
        _refused(p, "leastUpdates");
        p = policy();
        p.quorumBps = 5_000;
        _refused(p, "quorumBps");
        p.quorumBps = 10_001;
        _refused(p, "quorumBps");
        p = policy();
        p.attempts = 0;
        _refused(p, "attempts");
        p = policy();
        (p.valuation, p.maxParticipants, p.committeeSize) = (0, 1 << 15, 128);
        create(p);
    }

    function test_createFederation_RevertWhen_windowsCannotBeEnforced() public {
        for (uint256 i; i < 4; ++i) {
            PolicyHeader memory q = policy();
            if (i == 0) q.commitWindow = 0;
            if (i == 1) q.revealWindow = 0;
            if (i == 2) q.proposeWindow = 0;
            if (i == 3) q.attestWindow = 0;
            _refused(q, "windows");
        }
        PolicyHeader memory p = policy();
        p.challengeWindow = p.attestWindow;
        _refused(p, "challengeWindow");
        p = policy();
        p.attestWindow = p.revealWindow - 1;
        _refused(p, "attestWindow");
        (p.attestWindow, p.challengeWindow) = (p.revealWindow, p.revealWindow + 1);
        create(p);
        p = policy();
        p.answerWindow = 0;
        _refused(p, "answerWindow");
        p = policy();
        p.idleWindow = 60 + 30 + 60 + 60 - 1;
        _refused(p, "idleWindow");
        p.idleWindow += 1;
        create(p);
    }

    /// @dev Whoever the relay left out needs time to commit by itself.
    function testFuzz_createFederation_batchWindow(uint32 window, bool relayed) public {
        PolicyHeader memory p = policy();
        p.batchWindow = uint32(bound(window, 0, 62));
        if (relayed) p.relay = relay();
        bool right = relayed ? p.batchWindow > 0 && p.batchWindow < 60 : p.batchWindow == 0;
        if (right) create(p);
        else _refused(p, "batchWindow");
    }

    function test_createFederation_RevertWhen_rewardsCannotBeEnforced() public {
        PolicyHeader memory p = policy();
        p.rounds = 0;
        _refused(p, "rounds");
        p = policy();
        p.target = 0;
        _refused(p, "target");
        p = policy();
        p.valueExponent = 5;
        _refused(p, "exponents");
        p = policy();
        p.scaleExponent = 5;
        _refused(p, "exponents");
        p = policy();
        p.valuation = 3;
        _refused(p, "valuation");
        p = policy();
        p.valuationEvery = 0;
        _refused(p, "valuationEvery");
        p = policy();
        p.maxParticipants = 13;
        _refused(p, "valuation");
        p = policy();
        p.evaluation = 0;
        _refused(p, "evaluation");
        p.evaluation = 4;
        _refused(p, "evaluation");
        p.evaluation = 3;
        create(p);
    }

    function test_createFederation_RevertWhen_amountsCannotBeEnforced() public {
        PolicyHeader memory p = costly();
        (p.unavailableFee, p.unbondingWindow) = (1, p.attestWindow - 1);
        _refused(p, "unbondingWindow");
        p = policy();
        p.rejectionFee = p.proposerBond + 1;
        _refused(p, "rejectionFee");
        p = costly();
        p.unavailableFee = p.stake + 1;
        _refused(p, "unavailableFee");
        p = policy();
        p.relayFee = 1;
        _refused(p, "relayFee");
        for (uint256 i; i < 9; ++i) {
            p = costly();
            uint128 large = 1 << 96;
            if (i == 0) p.stake = large;
            if (i == 1) p.proposerBond = large;
            if (i == 2) p.challengeBond = large;
            if (i == 3) p.rejectionFee = large;
            if (i == 4) p.proposerFee = large;
            if (i == 5) p.attesterFee = large;
            if (i == 6) p.relayFee = large;
            if (i == 7) p.unavailableFee = large;
            if (i == 8) (p.pool, p.token) = (large, address(1));
            _refused(p, "amounts");
        }
    }

    /// @dev The pool must pay every fee that can be earned: of all rounds, the statistics round too, and of a full committee.
    function testFuzz_createFederation_poolHoldsTheFees(uint256 seed, bool statistics) public {
        PolicyHeader memory p = costly();
        p.statistics = statistics ? 5 : 0;
        p.rounds = uint32(bound(seed, 1, 1_000));
        p.committeeSize = uint32(bound(seed >> 32, 1, 128));
        p.proposerFee = uint128(bound(seed >> 64, 0, 1 ether));
        p.attesterFee = uint128(bound(seed >> 128, 0, 1 ether));
        uint256 each = p.proposerFee + uint256(p.committeeSize) * p.attesterFee + p.relayFee;
        p.pool = uint128((uint256(p.rounds) + (statistics ? 1 : 0)) * each);
        create(p);
        p.pool -= 1;
        _refused(p, "pool");
    }

    function test_createFederation_withoutPool() public {
        PolicyHeader memory p = policy();
        (p.pool, p.target) = (0, 0);
        create(p);
        eq(address(ledger).balance, 0, "balance");
    }

    // ---------------------------------------------------------------- ancestors

    function _refused(PolicyHeader memory p, bytes memory ancestor, bytes32 key) private {
        vm.prank(creator);
        refuses(abi.encodeWithSelector(IFederations.PolicyRefused.selector, key));
        ledger.createFederation{value: p.pool}(p, 0, ancestor);
    }

    function test_createFederation_onASettledAncestor() public {
        bytes32 ancestor = started();
        commitAll(ancestor);
        ResultHeader memory h = header(ancestor);
        bytes memory encoded = abi.encode(h);
        PolicyHeader memory p = policy();
        (p.ancestor, p.common.parent) = (ancestor, fullRound(ancestor, h));
        p.initialModelRoot = h.modelRoot;
        _refused(p, encoded, "parent"); // accepted, not settled
        settleAll(ancestor);
        p.initialModelRoot = keccak256("another model");
        _refused(p, encoded, "initialModelRoot");
        p.initialModelRoot = h.modelRoot;
        _refused(p, "", "parent");
        _refused(p, bytes.concat(encoded, bytes32(0)), "parent");
        h.modelRoot = keccak256("another model");
        _refused(p, abi.encode(h), "parent");
        p.ancestor = bytes32(uint256(1));
        _refused(p, encoded, "parent");
        p.ancestor = 0;
        _refused(p, encoded, "parent");
        p.common.parent = 0;
        _refused(p, encoded, "parent"); // evidence of nothing
        (p.ancestor, p.common.parent) = (ancestor, p.common.parent);
        _refused(p, encoded, "parent");
        p.common.parent = sha256(encoded);
        create(p, encoded);
    }

    // ---------------------------------------------------------------- deployment

    function test_create2Deployer_matchesTheProxy() public {
        address deployer = vm.deployCode("Create2Deployer.sol:Create2Deployer");
        bytes memory code = vm.getCode("Federations.sol:Federations");
        (bool done, bytes memory answer) = deployer.call(bytes.concat(bytes32(uint256(7)), code));
        holds(done && answer.length == 20, "answer");
        bytes32 hash = keccak256(abi.encodePacked(bytes1(0xff), deployer, bytes32(uint256(7)), keccak256(code)));
        eq(address(bytes20(answer)), address(uint160(uint256(hash))), "address");
        holds(address(bytes20(answer)).code.length != 0, "code");
        (done,) = deployer.call(bytes.concat(bytes32(uint256(7)), code));
        holds(!done, "twice");
    }

    function test_create2Deployer_RevertWhen_calldataIsShort() public {
        address deployer = vm.deployCode("Create2Deployer.sol:Create2Deployer");
        (bool done,) = deployer.call(hex"00");
        holds(!done, "short");
    }
}
