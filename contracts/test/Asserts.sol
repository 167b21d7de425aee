// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "./Vm.sol";

/// @notice What every test needs, with or without a ledger.
abstract contract Asserts {
    Vm internal constant vm = Vm(0x7109709ECfa91a80626fF3989D68f67F5b1DD12D);

    bool public constant IS_TEST = true;
    string internal constant VECTORS = "../tests/vectors/";

    function eq(uint256 a, uint256 b, string memory what) internal pure {
        require(a == b, string.concat(what, ": ", vm.toString(a), " is not ", vm.toString(b)));
    }

    function eq(bytes32 a, bytes32 b, string memory what) internal pure {
        require(a == b, what);
    }

    function eq(address a, address b, string memory what) internal pure {
        require(a == b, what);
    }

    function holds(bool condition, string memory what) internal pure {
        require(condition, what);
    }

    function bound(uint256 x, uint256 least, uint256 most) internal pure returns (uint256) {
        return least + x % (most - least + 1);
    }
}
