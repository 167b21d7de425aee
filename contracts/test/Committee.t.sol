// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Committee} from "../src/libraries/Committee.sol";
import {Asserts} from "./Asserts.sol";

/// @notice The draw, against what a draw has to be and against a Feistel network written apart from the library's.
contract CommitteeTest is Asserts {
    uint256 private constant SIZE = 16;

    function _reference(uint256 seed, uint256 place, uint256 known) private pure returns (uint256 value) {
        uint256 bits = 2;
        while (2 ** bits < known) ++bits;
        uint256 narrow = 2 ** (bits / 2);
        uint256 wide = 2 ** bits / narrow;
        value = place;
        do {
            uint256 left = value / wide;
            uint256 right = value % wide;
            uint256 rounds = 24 % bits == 0 ? 24 / bits : 24 / bits + 1;
            for (uint256 i; i < 2 * rounds; ++i) {
                uint256 mixed = uint256(keccak256(abi.encodePacked(seed, uint128(i), uint128(right)))) % (i % 2 == 0 ? narrow : wide);
                (left, right) = (right, left ^ mixed);
            }
            value = left * wide + right;
        } while (value >= known);
    }

    function testFuzz_member_isAPermutation(uint256 seed, uint256 known) public pure {
        known = bound(known, SIZE + 1, 300);
        bool[] memory seen = new bool[](known);
        for (uint256 place; place < known; ++place) {
            uint256 member = Committee.member(seed, place, known, SIZE);
            holds(member < known, "out of range");
            holds(!seen[member], "drawn twice");
            seen[member] = true;
            eq(Committee.placeOf(seed, member, known, SIZE), place, "place of the member");
        }
    }

    function testFuzz_member_isTheReference(uint256 seed, uint256 place, uint256 known) public pure {
        known = bound(known, SIZE + 1, 1 << 15);
        place = bound(place, 0, known - 1);
        eq(Committee.member(seed, place, known, SIZE), _reference(seed, place, known), "member");
    }

    function testFuzz_placeOf_isTheInverse(uint256 seed, uint256 participant, uint256 known) public pure {
        known = bound(known, SIZE + 1, 1 << 15);
        participant = bound(participant, 0, known - 1);
        uint256 place = Committee.placeOf(seed, participant, known, SIZE);
        holds(place < known, "out of range");
        eq(Committee.member(seed, place, known, SIZE), participant, "member at the place");
    }

    function testFuzz_member_everybodyFitsIn(uint256 seed, uint256 size, uint256 place) public pure {
        size = bound(size, 1, 128);
        uint256 known = bound(place >> 128, 1, size);
        place = bound(uint128(place), 0, known - 1);
        eq(Committee.member(seed, place, known, size), place, "member");
        eq(Committee.placeOf(seed, place, known, size), place, "place");
    }

    /// @dev 2,000 draws of 4 of 20: each of them is drawn 400 times, give or take 5 standard deviations of 18.
    function test_member_isUniform() public pure {
        uint256[] memory drawn = new uint256[](20);
        for (uint256 i; i < 2_000; ++i) {
            for (uint256 place; place < 4; ++place) {
                ++drawn[Committee.member(i, place, 20, 4)];
            }
        }
        for (uint256 i; i < 20; ++i) {
            holds(drawn[i] > 310 && drawn[i] < 490, string.concat("participant ", vm.toString(i)));
        }
    }

    /// @dev Nor are those drawn together more often who are close to each other: three of the first four of nine, in one of six draws
    /// of four (2,000 draws: 333 give or take 5 standard deviations of 17), and nine of the first twelve of 33 in one of 40 draws
    /// of 16 (50, of 7). With four rounds of the network it was one of four, and one of 25.
    function test_member_isUniformTogether() public pure {
        uint256 few;
        uint256 many;
        for (uint256 i; i < 2_000; ++i) {
            uint256 first;
            for (uint256 place; place < 4; ++place) {
                if (Committee.member(i, place, 9, 4) < 4) ++first;
            }
            if (first >= 3) ++few;
            first = 0;
            for (uint256 place; place < 16; ++place) {
                if (Committee.member(i, place, 33, 16) < 12) ++first;
            }
            if (first >= 9) ++many;
        }
        holds(few > 250 && few < 416, string.concat("three of the first four: ", vm.toString(few)));
        holds(many > 15 && many < 85, string.concat("nine of the first twelve: ", vm.toString(many)));
    }

    function testFuzz_count(uint128 yes, uint128 no) public pure {
        (uint256 votesFor, uint256 votesAgainst) = Committee.count(uint256(no) << 128 | yes);
        (uint256 a, uint256 b) = (0, 0);
        for (uint256 i; i < 128; ++i) {
            a += yes >> i & 1;
            b += no >> i & 1;
        }
        eq(votesFor, a, "for");
        eq(votesAgainst, b, "against");
    }

    function testFuzz_ballot_isOneOfItsOwn(uint256 place, bool support) public pure {
        place = bound(place, 0, 127);
        (uint256 votesFor, uint256 votesAgainst) = Committee.count(Committee.ballot(place, support));
        eq(votesFor, support ? 1 : 0, "for");
        eq(votesAgainst, support ? 0 : 1, "against");
        holds(Committee.ballot(place, true) & Committee.ballot(place, false) == 0, "both");
    }
}
