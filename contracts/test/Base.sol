// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Common, PolicyHeader, ResultHeader, POLICY_TAG, RESULT_TAG} from "../src/Headers.sol";
import {
    Application,
    Ballot,
    Claim,
    FederationView,
    IFederations,
    ParticipantView,
    Phase,
    Result,
    Sibling,
    Status
} from "../src/interfaces/IFederations.sol";
import {Asserts} from "./Asserts.sol";
import {SumTree} from "./SumTree.sol";
import {Vm} from "./Vm.sol";

/// @notice What every test starts from: a ledger, a policy, and members who do as they are told.
abstract contract Base is Asserts {
    uint256 internal constant CREATOR_KEY = 0xC0FFEE;
    uint256 internal constant START = 1_700_000_000;
    uint256 internal constant STAKE = 1 ether;
    uint256 internal constant BOND = 0.5 ether;
    address internal constant ANYBODY = address(0xBEEF);
    address internal constant BURNED = 0x000000000000000000000000000000000000dEaD;
    bytes32 internal constant INDEX = keccak256("index");

    IFederations internal ledger;
    address internal creator;

    function setUp() public virtual {
        vm.warp(START);
        creator = vm.addr(CREATOR_KEY);
        ledger = IFederations(vm.deployCode("Federations.sol:Federations"));
        vm.deal(creator, 1e30);
    }

    // ---------------------------------------------------------------- members

    function signerKey(uint256 i) internal pure returns (uint256) {
        return 0x10000 + i;
    }

    function controllerKey(uint256 i) internal pure returns (uint256) {
        return 0x20000 + i;
    }

    function signer(uint256 i) internal pure returns (address) {
        return vm.addr(signerKey(i));
    }

    function controller(uint256 i) internal pure returns (address) {
        return vm.addr(controllerKey(i));
    }

    function payout(uint256 i) internal pure returns (address) {
        return address(uint160(0x30000 + i));
    }

    function identity(uint256 i) internal pure returns (bytes32) {
        return keccak256(abi.encode("identity", i));
    }

    function dataset(uint256 i) internal pure returns (bytes32) {
        return keccak256(abi.encode("dataset", i));
    }

    function application(uint256 i) internal pure returns (Application memory) {
        return Application({
            controller: controller(i),
            signer: signer(i),
            payout: payout(i),
            identity: identity(i),
            key: keccak256(abi.encode("key", i)),
            datasetRoot: dataset(i),
            rows: 100,
            expires: 0
        });
    }

    // ---------------------------------------------------------------- policies

    function policy() internal view returns (PolicyHeader memory p) {
        p.common.tag = POLICY_TAG;
        p.common.chainId = block.chainid;
        p.common.ledger = address(ledger);
        p.initialModelRoot = keccak256("model");
        p.rest = keccak256("rest");
        p.leaves = 3;
        p.coordinates = 700;
        p.bound = 1 << 24;
        p.weightCap = 1_000;
        p.startParticipants = 3;
        p.maxParticipants = 5;
        p.leastUpdates = 2;
        p.open = true;
        p.committeeSize = 16;
        p.quorumBps = 6_000;
        p.attempts = 3;
        p.commitWindow = 60;
        p.revealWindow = 30;
        p.proposeWindow = 60;
        p.attestWindow = 60;
        p.challengeWindow = 120;
        p.answerWindow = 40;
        p.idleWindow = 100_000;
        p.stake = uint128(STAKE);
        p.proposerBond = uint128(BOND);
        p.challengeBond = 0.2 ether;
        p.rounds = 3;
        p.pool = 10 ether;
        p.target = 1_000;
        p.valueExponent = 1;
        p.valuation = 2;
        p.valuationEvery = 1;
        p.evaluation = 1;
    }

    /// @dev With a relay, and fees and fines of different sizes.
    function costly() internal view returns (PolicyHeader memory p) {
        p = policy();
        (p.relay, p.batchWindow) = (relay(), 20);
        (p.proposerFee, p.attesterFee, p.relayFee) = (0.03 ether, 0.001 ether, 0.007 ether);
        (p.rejectionFee, p.unavailableFee, p.unbondingWindow) = (0.05 ether, 0.4 ether, p.attestWindow);
    }

    function relay() internal pure returns (address) {
        return address(0x4E1A7);
    }

    function create(PolicyHeader memory p) internal returns (bytes32) {
        return create(p, "");
    }

    function create(PolicyHeader memory p, bytes memory ancestor) internal returns (bytes32) {
        vm.prank(creator);
        return ledger.createFederation{value: p.token == address(0) ? p.pool : 0}(p, 0, ancestor);
    }

    /// @dev A federation of `n` members, in round 0.
    function started(PolicyHeader memory p, uint256 n) internal returns (bytes32 id) {
        p.startParticipants = uint32(n);
        id = create(p);
        for (uint256 i; i < n; ++i) {
            join(id, i, p.stake);
        }
    }

    function started() internal returns (bytes32) {
        return started(policy(), 3);
    }

    /// @dev A federation that waits for its first proposal.
    function proposing(PolicyHeader memory p) internal returns (bytes32 id) {
        id = started(p, 3);
        commitAll(id);
    }

    // ---------------------------------------------------------------- signatures

    function typed(bytes32 content) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("FedNode Federations"),
                keccak256("1"),
                block.chainid,
                address(ledger)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, content));
    }

    function sign(uint256 key, bytes32 content) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, typed(content));
        return abi.encodePacked(r, s, v);
    }

    function voteContent(bytes32 id, uint32 round, uint8 attempt, bytes32 result, bool support)
        internal
        pure
        returns (bytes32)
    {
        bytes32 kind = keccak256("Vote(bytes32 federation,uint32 round,uint8 attempt,bytes32 result,bool support)");
        return keccak256(abi.encode(kind, id, round, attempt, result, support));
    }

    function proposalContent(bytes32 id, uint32 round, uint8 attempt, bytes32 result, bytes32 index)
        internal
        pure
        returns (bytes32)
    {
        bytes32 kind = keccak256("Proposal(bytes32 federation,uint32 round,uint8 attempt,bytes32 result,bytes32 index)");
        return keccak256(abi.encode(kind, id, round, attempt, result, index));
    }

    function joinContent(bytes32 id, Application memory a) internal pure returns (bytes32) {
        bytes32 kind = keccak256(
            "Join(bytes32 federation,address signer,address payout,bytes32 identity,bytes32 key,bytes32 datasetRoot,uint32 rows)"
        );
        return keccak256(abi.encode(kind, id, a.signer, a.payout, a.identity, a.key, a.datasetRoot, a.rows));
    }

    function ballot(uint256 key, bytes32 content, bool support) internal view returns (Ballot memory) {
        (bytes32 r, bytes32 vs) = vm.signCompact(key, typed(content));
        return Ballot(support, r, vs);
    }

    /// @dev A vote on what stands now.
    function ballot(bytes32 id, uint256 i, bool support) internal view returns (Ballot memory) {
        FederationView memory v = view_(id);
        return ballot(signerKey(i), voteContent(id, v.round, v.attempt, v.standing, support), support);
    }

    function post(bytes32 id, Ballot[] memory ballots) internal {
        post(id, ballots, 0);
    }

    function post(bytes32 id, Ballot[] memory ballots, uint256 vacant) internal {
        FederationView memory v = view_(id);
        ledger.postVotes(id, v.round, v.attempt, v.standing, uint128(vacant), ballots);
    }

    function post(bytes32 id, Ballot memory single) internal {
        post(id, single, 0);
    }

    function post(bytes32 id, Ballot memory single, uint256 vacant) internal {
        Ballot[] memory ballots = new Ballot[](1);
        ballots[0] = single;
        post(id, ballots, vacant);
    }

    // ---------------------------------------------------------------- acts

    function view_(bytes32 id) internal view returns (FederationView memory) {
        return ledger.federationOf(id);
    }

    function join(bytes32 id, uint256 i) internal {
        join(id, i, STAKE);
    }

    function join(bytes32 id, uint256 i, uint256 value) internal {
        join(id, application(i), value);
    }

    function join(bytes32 id, Application memory a, uint256 value) internal {
        vm.deal(a.controller, value);
        vm.prank(a.controller);
        ledger.join{value: value}(id, a, "", "");
    }

    function leave(bytes32 id, uint256 i) internal {
        vm.prank(controller(i));
        ledger.leave(id, uint32(i));
    }

    function update(uint256 round, uint256 i) internal pure returns (bytes32) {
        return keccak256(abi.encode("update", round, i));
    }

    function commit(bytes32 id, uint256 i) internal {
        uint32 round = view_(id).round;
        vm.prank(signer(i));
        ledger.commitUpdate(id, round, update(round, i));
    }

    function commitAll(bytes32 id) internal {
        FederationView memory v = view_(id);
        for (uint256 i; i < v.joined; ++i) {
            if (seated(id, v.round, i)) commit(id, i);
        }
    }

    function batch(bytes32 id, uint32 leaves) internal {
        uint32 round = view_(id).round;
        vm.prank(relay());
        ledger.postBatch(id, round, keccak256("batch"), leaves, INDEX);
    }

    /// @dev Whether a participant is in good standing in a round.
    function seated(bytes32 id, uint32 round, uint256 i) internal view returns (bool) {
        ParticipantView memory p = ledger.participantOf(id, uint32(i));
        return p.activeFrom <= round && round < p.activeUntil && !p.slashed;
    }

    /// @dev A header that the ledger takes now, with nothing gained and nothing paid.
    function header(bytes32 id) internal view returns (ResultHeader memory h) {
        FederationView memory v = view_(id);
        h.common = Common(RESULT_TAG, block.chainid, address(ledger), id, v.round, v.head);
        h.nodes = keccak256("nodes");
        h.number = v.commits + v.batched;
        h.weight = v.commits + v.batched;
        h.modelRoot = keccak256(abi.encode("model", v.round));
    }

    function digest(ResultHeader memory h) internal pure returns (bytes32) {
        return sha256(abi.encode(h));
    }

    /// @dev Whose turn it is: who has no seat is passed over. Nobody's, who would be the next one to join, if none of 16 has one.
    function turn(bytes32 id) internal view returns (uint256) {
        FederationView memory v = view_(id);
        for (uint256 i = uint256(v.round) + v.attempt; i < uint256(v.round) + v.attempt + 16; ++i) {
            if (seated(id, v.round, i % v.known)) return i % v.known;
        }
        return v.known;
    }

    function propose(bytes32 id, ResultHeader memory h) internal returns (bytes32) {
        return proposeAs(signer(turn(id)), id, h);
    }

    function proposeAs(address who, bytes32 id, ResultHeader memory h) internal returns (bytes32) {
        vm.deal(who, who.balance + BOND);
        vm.prank(who);
        ledger.proposeResult{value: BOND}(id, h, INDEX, "");
        return digest(h);
    }

    function vote(bytes32 id, uint256 i, bool support) internal {
        vote(id, i, support, 0);
    }

    function vote(bytes32 id, uint256 i, bool support, uint256 vacant) internal {
        FederationView memory v = view_(id);
        vm.prank(signer(i));
        ledger.vote(id, v.round, v.attempt, v.standing, uint128(vacant), support);
    }

    /// @dev Votes, in order, until the attest phase is over; everybody is in the committee.
    function voteAll(bytes32 id, bool support) internal {
        bytes32 standing = view_(id).standing;
        for (uint256 i; ledger.resultOf(id, standing).status == Status.Standing; ++i) {
            if (seated(id, view_(id).round, i)) vote(id, i, support);
        }
    }

    /// @dev A whole round with this header's outcome.
    function fullRound(bytes32 id, ResultHeader memory h) internal returns (bytes32 result) {
        result = propose(id, h);
        voteAll(id, true);
    }

    function fullRound(bytes32 id) internal returns (bytes32) {
        commitAll(id);
        return fullRound(id, header(id));
    }

    /// @dev A whole round that releases `gain` of the target to these payouts.
    function payingRound(bytes32 id, int64 gain, uint128[] memory amounts) internal returns (bytes32) {
        commitAll(id);
        return fullRound(id, paying(id, gain, amounts));
    }

    function paying(bytes32 id, int64 gain, uint128[] memory amounts) internal view returns (ResultHeader memory h) {
        h = header(id);
        Sibling memory root = SumTree.root(amounts);
        (h.gain, h.scores, h.payouts, h.payoutTotal) = (gain, 1, root.hash, uint128(root.sum));
    }

    function pass(uint256 time) internal {
        vm.warp(vm.getBlockTimestamp() + time);
    }

    function mine() internal {
        vm.roll(vm.getBlockNumber() + 1);
    }

    /// @dev Let the current phase's deadline pass.
    function miss(bytes32 id) internal {
        vm.warp(view_(id).deadline);
        ledger.advance(id);
    }

    function settleAll(bytes32 id) internal {
        pass(1_000);
        ledger.advance(id);
    }

    function claimOf(uint128[] memory amounts, uint256 i) internal pure returns (Claim memory c) {
        (c.participant, c.amount) = (uint32(i), amounts[i]);
        c.path = SumTree.proof(amounts, i);
    }

    function claim(bytes32 id, uint256 i, uint128[] memory amounts) internal {
        ledger.claim(id, amounts.length, one(claimOf(amounts, i)));
    }

    function one(Claim memory c) internal pure returns (Claim[] memory claims) {
        claims = new Claim[](1);
        claims[0] = c;
    }

    function collect(bytes32 id, uint256 i, bytes32 result) internal {
        bytes32[] memory results = new bytes32[](1);
        results[0] = result;
        ledger.collectFees(id, uint32(i), results);
    }

    /// @dev By anybody: the money goes where it belongs.
    function withdraw(bytes32 id, address who) internal {
        vm.prank(ANYBODY);
        ledger.withdraw(id, who);
    }

    function amounts3(uint128 a, uint128 b, uint128 c) internal pure returns (uint128[] memory amounts) {
        amounts = new uint128[](3);
        (amounts[0], amounts[1], amounts[2]) = (a, b, c);
    }

    // ---------------------------------------------------------------- readings

    function ethers(bytes32 id, address who) internal view returns (uint256 credit) {
        (credit,) = ledger.creditOf(id, who);
    }

    function fees(bytes32 id, address who) internal view returns (uint256 credit) {
        (, credit) = ledger.creditOf(id, who);
    }

    function status(bytes32 id, bytes32 result, Status expected, string memory what) internal view {
        eq(uint256(ledger.resultOf(id, result).status), uint256(expected), what);
    }

    function phase(bytes32 id, Phase expected, string memory what) internal view {
        eq(uint256(view_(id).phase), uint256(expected), what);
    }

    // ---------------------------------------------------------------- history

    /// @dev Check that the logs recorded since the last call carry the federation's history on from `h`.
    function replay(bytes32 id, bytes32 h, Vm.Log[] memory logs) internal view returns (bytes32) {
        for (uint256 n; n < logs.length; ++n) {
            Vm.Log memory log = logs[n];
            if (log.emitter != address(ledger) || log.topics[1] != id) continue;
            holds(log.topics.length == 2, "topics");
            bytes memory data = log.data;
            bytes memory fields = new bytes(data.length - 32);
            bytes32 after_;
            assembly {
                let length := mload(fields)
                mcopy(add(fields, 0x20), add(data, 0x20), length)
                after_ := mload(add(data, add(0x20, length)))
            }
            if (log.topics[0] != IFederations.Checkpoint.selector) {
                h = keccak256(bytes.concat(h, bytes32(vm.getBlockTimestamp()), log.topics[0], fields));
            }
            eq(after_, h, "accumulator");
        }
        return h;
    }

    /// @dev The events of the ledger since recording began, by their selectors.
    function emitted() internal returns (bytes32[] memory topics) {
        Vm.Log[] memory logs = vm.getRecordedLogs();
        topics = new bytes32[](logs.length);
        uint256 n;
        for (uint256 i; i < logs.length; ++i) {
            if (logs[i].emitter == address(ledger)) topics[n++] = logs[i].topics[0];
        }
        assembly {
            mstore(topics, n)
        }
    }

    function refuses(bytes memory reason) internal {
        vm.expectRevert(reason);
    }

    function refuses(bytes4 selector) internal {
        vm.expectRevert(abi.encodeWithSelector(selector));
    }
}
