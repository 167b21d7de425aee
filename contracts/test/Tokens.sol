// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @notice A token that anybody may mint.
contract TestToken is ERC20 {
    constructor() ERC20("Test", "TEST") {}

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }
}

/// @notice A token that burns a share of every transfer.
contract FeeToken is TestToken {
    uint256 private immutable _feeBps;

    constructor(uint256 feeBps) {
        _feeBps = feeBps;
    }

    function _update(address from, address to, uint256 amount) internal override {
        super._update(from, to, amount);
        uint256 fee = amount * _feeBps / 10_000;
        if (from != address(0) && to != address(0) && fee != 0) super._update(to, address(0), fee);
    }
}

/// @notice A token that can be told to fail: to revert, to return false, to return nothing.
contract MoodyToken is TestToken {
    enum Mood {
        Good,
        Reverting,
        Refusing,
        Silent
    }

    Mood public mood;

    function feel(Mood mood_) external {
        mood = mood_;
    }

    function transfer(address to, uint256 amount) public override returns (bool) {
        return _moody() && super.transfer(to, amount);
    }

    function transferFrom(address from, address to, uint256 amount) public override returns (bool) {
        return _moody() && super.transferFrom(from, to, amount);
    }

    /// @dev A silent token moves nothing and says nothing, as if it had.
    function _moody() private view returns (bool) {
        require(mood != Mood.Reverting, "moody");
        if (mood == Mood.Silent) {
            assembly {
                return(0, 0)
            }
        }
        return mood == Mood.Good;
    }
}
