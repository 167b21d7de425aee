// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @notice An account whose code works against whoever calls it: as a payee, or to check a signature (ERC-1271).
contract Hostile {
    enum Way {
        Reverts,
        Burns, // all the gas that there is
        Bombs, // reverts with as many bytes as the gas is good for
        PicksPrices, // refuses unless gas is free, as it is in a simulation without a price
        Dear, // accepts, for less than a payee among others may use
        Dearest // accepts, for more than that
    }

    Way private immutable _way;

    constructor(Way way) {
        _way = way;
    }

    receive() external payable {
        _act();
    }

    fallback() external payable {
        _act();
    }

    function _act() private view {
        if (_way == Way.Reverts) revert("no");
        if (_way == Way.Burns) _burn(0);
        if (_way == Way.Bombs) {
            // A word of memory costs at least 3 gas, and more the more there are.
            assembly {
                revert(0, mul(gas(), 4))
            }
        }
        if (_way == Way.PicksPrices) require(tx.gasprice == 0, "not at this price");
        if (_way == Way.Dear) _burn(gasleft() > 80_000 ? gasleft() - 80_000 : 0);
        if (_way == Way.Dearest) _burn(gasleft() > 400_000 ? gasleft() - 400_000 : 0);
    }

    function _burn(uint256 left) private view {
        while (gasleft() > left) {}
    }
}
