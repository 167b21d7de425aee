"""Access to the chain: engines, accounts and the contract's typed binding."""
