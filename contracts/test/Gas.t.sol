// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PolicyHeader, ResultHeader} from "../src/Headers.sol";
import {Ballot, Claim, Phase, Sibling} from "../src/interfaces/IFederations.sol";
import {Committee} from "../src/libraries/Committee.sol";
import {Challenged} from "./Challenged.sol";
import {SumTree} from "./SumTree.sol";

/// @notice Gas of every entry point as its own transaction, all in (execution, 21,000 and calldata), against
/// `snapshots/Gas.json`. What the verifier does comes on top of the steps of a challenge.
/// forge-config: default.isolate = true
contract GasTest is Challenged {
    uint256 private constant COMMIT_LIMIT = 65_000;
    uint256 private constant CLAIM_LIMIT = 60_000;
    uint256 private constant CLAIM_OF_MANY_LIMIT = 30_000;
    uint256 private constant ROUND_LIMIT = 600_000;
    uint256 private constant SIZE = 16;
    uint256 private constant GONE = 4;
    bytes32 private constant SEED = keccak256("seed");

    /// @dev With the ledger's call as the last one.
    function _propose(bytes32 id, ResultHeader memory h) private {
        address who = signer(turn(id));
        vm.deal(who, BOND);
        vm.prank(who);
        ledger.proposeResult{value: BOND}(id, h, INDEX, "");
    }

    function _snap(string memory name) private returns (uint256) {
        return vm.snapshotGasLastCall("Gas", name);
    }

    // ---------------------------------------------------------------- one by one

    /// forge-config: default.isolate = true
    function test_gas_everyEntryPoint() public {
        bytes32 id = create(policy());
        _snap("createFederation");
        join(id, 0);
        _snap("join, first");
        join(id, 1);
        _snap("join");
        join(id, 2);
        _snap("join, opening round 0");
        commit(id, 0);
        holds(_snap("commitUpdate, first of a round") <= COMMIT_LIMIT, "first commit");
        commit(id, 1);
        holds(_snap("commitUpdate") <= COMMIT_LIMIT, "commit");
        commit(id, 2);
        holds(_snap("commitUpdate, closing the phase") <= COMMIT_LIMIT, "last commit");
        ledger.openSlice(id, 0, keccak256("slice"));
        _snap("openSlice");

        uint128[] memory amounts = amounts3(2 ether, 3 ether, 5 ether);
        ResultHeader memory h = paying(id, 1_000, amounts);
        h.stop = true;
        _propose(id, h);
        _snap("proposeResult");
        vote(id, 0, true);
        _snap("vote");
        vote(id, 1, true);
        _snap("vote, accepting and ending");
        pass(120);
        ledger.advance(id);
        _snap("advance, settling one result");
        claim(id, 0, amounts);
        _snap("claim, first");
        claim(id, 1, amounts);
        _snap("claim, to a new account");
        withdraw(id, signer(0));
        _snap("withdraw");
        ledger.withdrawStake(id, 0);
        _snap("withdrawStake");
        ledger.checkpoint(id);
        _snap("checkpoint");
    }

    /// forge-config: default.isolate = true
    function test_gas_roundByRound() public {
        PolicyHeader memory p = policy();
        p.attesterFee = 0.001 ether;
        bytes32 id = started(p, 3);
        commitAll(id);
        bytes32 result = propose(id, header(id));
        vote(id, 0, true);
        vote(id, 1, true);
        _snap("vote, accepting and opening");
        commit(id, 0);
        holds(_snap("commitUpdate, first of a later round") <= COMMIT_LIMIT, "first commit");
        vm.prank(controller(0));
        ledger.rotateSigner(id, 0, address(0xABC));
        _snap("rotateSigner");
        vm.prank(controller(0));
        ledger.registerKey(id, 0, keccak256("key"));
        _snap("registerKey");
        vm.prank(controller(0));
        ledger.commitDataset(id, 0, dataset(9), 10, 0, "");
        _snap("commitDataset");
        vm.prank(controller(0));
        ledger.amendDataset(id, 0, dataset(9), 5, keccak256("erased"));
        _snap("amendDataset");
        vm.prank(controller(1));
        ledger.leave(id, 1);
        _snap("leave");
        miss(id);
        _snap("advance, voiding and opening");
        vm.prank(address(0xABC));
        ledger.commitUpdate(id, 2, keccak256("update 0"));
        commit(id, 2);
        miss(id);
        _snap("advance, missing a turn");
        pass(1_000);
        ledger.advance(id);
        collect(id, 0, result);
        _snap("collectFees");
        pass(100_000);
        ledger.close(id);
        _snap("close, ending the period");
        ledger.refund(id);
        _snap("refund");
    }

    /// forge-config: default.isolate = true
    function test_gas_challenges() public {
        (bytes32 id, bytes32 result) = standing(patient());
        commitProof(CHALLENGER, id, result, proof(1));
        _snap("commitProof");
        demand(CHALLENGER, id, result, 1);
        _snap("demand");
        answer(ANSWERER, id, result, 1, 1);
        _snap("answer");
        redemand(CHALLENGER, id, result, 1, 2);
        _snap("redemand");
        pass(ANSWER_WINDOW);
        ledger.expireChallenge(id, result);
        _snap("expireChallenge, failing");
        vote(id, 0, true);
        vote(id, 1, true);
        commitProof(CHALLENGER, id, result, proof(1));
        mine();
        openProof(CHALLENGER, id, result, 2, proof(1));
        _snap("openProof, slashing two");
        ledger.reclaimChallenge(id, result, 0, 1);
        _snap("reclaimChallenge");
    }

    /// forge-config: default.isolate = true
    function test_gas_whatFell() public {
        (bytes32 id, bytes32 result) = standing(patient());
        vm.fee(1 gwei);
        demand(CHALLENGER, id, result, 1);
        answer(ANSWERER, id, result, 0, 1);
        concede(CHALLENGER, id, result, 0);
        _snap("concede");
        commitProof(CHALLENGER, id, result, proof(1));
        commitProof(OTHER, id, result, proof(2));
        vote(id, 0, false);
        vote(id, 1, false);
        _snap("vote, rejecting what proofs are open to");
        mine();
        uint256 fresh = vm.snapshotState();
        openProof(CHALLENGER, id, result, 1, proof(1));
        _snap("openProof, of what fell");
        vm.revertToState(fresh);
        _propose(id, header(id));
        _snap("proposeResult, setting an attempt aside");
        pass(ANSWER_WINDOW);
        ledger.releaseBond(id, result, 0);
        _snap("releaseBond, of what was set aside");
        ledger.reclaimChallenge(id, result, 0, 2);
        _snap("reclaimChallenge, lost");
    }

    // ---------------------------------------------------------------- claims

    /// @dev Two periods: what everybody's first claim costs more is its own account's.
    function _claims(uint256 n) private returns (bytes32 id, uint128[] memory first, uint128[] memory second) {
        PolicyHeader memory p = policy();
        (p.rounds, p.rewardPeriod, p.valuation) = (2, 1, 0);
        (p.maxParticipants, p.committeeSize) = (uint32(n), uint32(n));
        id = started(p, n);
        (first, second) = (new uint128[](n), new uint128[](n));
        for (uint256 i; i < n; ++i) {
            (first[i], second[i]) = (uint128(2 ether / n), uint128(5 ether / n));
            vm.deal(payout(i), 1);
        }
        payingRound(id, 200, first);
        settleAll(id);
    }

    /// forge-config: default.isolate = true
    function test_gas_claim() public {
        (bytes32 id, uint128[] memory first, uint128[] memory second) = _claims(16);
        claim(id, 0, first);
        claim(id, 1, first);
        _snap("claim of 16, first of an account");
        payingRound(id, 300, second);
        settleAll(id);
        claim(id, 0, second);
        holds(_snap("claim of 16") <= CLAIM_LIMIT, "claim");
    }

    /// @dev Each doubling of the tree adds a level to the path. Only the path's own nodes are made up: the root is stored as if a
    /// period had ended with it.
    /// forge-config: default.isolate = true
    function test_gas_claimOfAThousand() public {
        _claimOf(1_000, 10);
    }

    /// forge-config: default.isolate = true
    function test_gas_claimOfTenThousand() public {
        _claimOf(10_000, 14);
    }

    function _claimOf(uint256 leaves, uint256 levels) private {
        (bytes32 id, uint128[] memory first,) = _claims(32);
        claim(id, 31, first);
        // A whole tree of 32 leaves, and beside it on each level above what everybody else is owed.
        Claim[] memory claims = new Claim[](32);
        uint128[] memory amounts = new uint128[](32);
        uint256 total;
        for (uint256 i; i < 32; ++i) {
            amounts[i] = first[i] + 0.01 ether;
            total += amounts[i];
        }
        for (uint256 i; i < 32; ++i) {
            claims[i] = Claim(uint32(i), amounts[i], new Sibling[](levels));
            Sibling[] memory within = SumTree.proof(amounts, i);
            for (uint256 k; k < levels; ++k) {
                claims[i].path[k] = k < 5 ? within[k] : Sibling(keccak256(abi.encode(k)), 0.001 ether + k);
            }
        }
        bytes32 root = SumTree.root(amounts).hash;
        for (uint256 k = 5; k < levels; ++k) {
            root = sha256(bytes.concat(hex"01", abi.encode(root, total, claims[0].path[k])));
            total += claims[0].path[k].sum;
        }
        bytes32 slot = bytes32(uint256(keccak256(abi.encode(id, 2))) + 3);
        vm.store(address(ledger), slot, keccak256(abi.encode(root, total, leaves)));
        Claim[] memory one = new Claim[](1);
        one[0] = claims[31];
        ledger.claim(id, leaves, one);
        _snap(string.concat("claim of ", vm.toString(leaves)));
        Claim[] memory others = new Claim[](31);
        for (uint256 i; i < 31; ++i) {
            others[i] = claims[i];
        }
        ledger.claim(id, leaves, others);
        uint256 each = _snap(string.concat("claim, 31 at once of ", vm.toString(leaves))) / 31;
        holds(each <= CLAIM_LIMIT, "each of many");
    }

    /// forge-config: default.isolate = true
    function test_gas_claimMany() public {
        (bytes32 id, uint128[] memory first, uint128[] memory second) = _claims(32);
        Claim[] memory claims = new Claim[](32);
        for (uint256 i; i < 32; ++i) {
            claims[i] = claimOf(first, i);
        }
        ledger.claim(id, 32, claims);
        holds(_snap("claim, 32 at once, first of every account") <= 32 * CLAIM_OF_MANY_LIMIT, "first claims");
        payingRound(id, 300, second);
        settleAll(id);
        for (uint256 i; i < 32; ++i) {
            claims[i] = claimOf(second, i);
        }
        ledger.claim(id, 32, claims);
        holds(_snap("claim, 32 at once") <= 32 * CLAIM_OF_MANY_LIMIT, "claims");
    }

    // ---------------------------------------------------------------- many participants

    /// @dev A federation of `n` of which those exist that act: who is drawn, whose turn it is, and the last. The numbers of
    /// participants are written over between their joins.
    function _crowd(uint256 n) private returns (bytes32 id) {
        PolicyHeader memory p = costly();
        (p.maxParticipants, p.startParticipants) = (uint32(n), uint32(n));
        (p.leastUpdates, p.valuation, p.rounds) = (uint32(n / 2), 0, 5);
        id = create(p);
        bool[] memory acts = new bool[](n);
        acts[n - 1] = true;
        for (uint256 turn_; turn_ < 5; ++turn_) {
            acts[turn_] = true;
        }
        for (uint256 place; place < SIZE + GONE; ++place) {
            acts[_member(place, n)] = true;
        }
        for (uint256 i; i < n; ++i) {
            if (!acts[i]) continue;
            _count(id, i, i);
            join(id, i);
        }
        eq(view_(id).known, n, "the slot of the numbers has moved");
    }

    /// @dev Say how many have joined, and how many of them are still there.
    function _count(bytes32 id, uint256 joined, uint256 active) private {
        bytes32 slot = bytes32(uint256(keccak256(abi.encode(id, 2))) + 4);
        uint256 word = uint256(vm.load(address(ledger), slot)) & ~(uint256(type(uint32).max) << 224);
        vm.store(address(ledger), slot, bytes32(word | joined << 224 | active << 240));
    }

    function _member(uint256 place, uint256 known) private pure returns (uint256) {
        return Committee.member(uint32(uint256(SEED)), place, known, SIZE);
    }

    function _batch(bytes32 id, uint256 n) private {
        mine();
        vm.setBlockhash(vm.getBlockNumber() - 1, SEED);
        batch(id, uint32(n - 1));
    }

    function _header(bytes32 id) private view returns (ResultHeader memory h) {
        h = header(id);
        h.payouts = keccak256("payouts");
    }

    /// @dev The votes of all seats, of which the first `gone` places have none.
    function _post(bytes32 id, uint256 n, uint256 gone) private {
        Ballot[] memory ballots = new Ballot[](SIZE);
        for (uint256 i; i < SIZE; ++i) {
            ballots[i] = ballot(id, _member(gone + i, n), true);
        }
        post(id, ballots, (1 << gone) - 1);
    }

    function _wholeRound(uint256 n) private {
        _wholeRound(_crowd(n), n, 0, string.concat(" of ", vm.toString(n)));
    }

    function _wholeRound(bytes32 id, uint256 n, uint256 gone, string memory suffix) private {
        for (uint256 i; i < 3; ++i) {
            _batch(id, n);
            miss(id);
            _propose(id, _header(id));
            _post(id, n, gone);
        }
        // The fourth round, in which the second one settles: nothing is the first of its kind any more.
        _batch(id, n);
        uint256 all = _snap(string.concat("postBatch", suffix));
        miss(id);
        all += _snap(string.concat("advance, closing the phase and settling one result", suffix));
        eq(view_(id).settledHeight, 2, "settled");
        _propose(id, _header(id));
        all += _snap(string.concat("proposeResult", suffix));
        _post(id, n, gone);
        all += _snap(string.concat("postVotes, 16, accepting and opening", suffix));
        phase(id, Phase.Commit, "accepted");
        holds(all <= ROUND_LIMIT, string.concat("a round costs ", vm.toString(all)));
    }

    /// forge-config: default.isolate = true
    function test_gas_wholeRoundOf100() public {
        _wholeRound(100);
    }

    /// forge-config: default.isolate = true
    function test_gas_wholeRoundOf1000() public {
        _wholeRound(1_000);
    }

    /// forge-config: default.isolate = true
    function test_gas_wholeRoundOf10000() public {
        _wholeRound(10_000);
    }

    /// @dev A quarter has left, and as many of those who are drawn: the votes show it.
    /// forge-config: default.isolate = true
    function test_gas_wholeRoundAfterManyLeft() public {
        uint256 n = 1_000;
        bytes32 id = _crowd(n);
        for (uint256 place; place < GONE; ++place) {
            leave(id, _member(place, n));
        }
        _count(id, n, n * (SIZE - GONE) / SIZE);
        miss(id);
        _wholeRound(id, n, GONE, " of 1000, of whom 250 left");
    }
}
