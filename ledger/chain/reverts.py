"""What a revert says: Solidity's own Error(string) and Panic(uint256)."""

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

ERROR = bytes.fromhex("08c379a0")
PANIC = bytes.fromhex("4e487b71")
MOST = 1_000
"""Characters of a reason: the line that it stands in has to keep its end."""


def revert_reason(data: bytes) -> str:
    """Read the start of a revert's text, or its panic code; else say which bytes came back."""
    if not data:
        return "no reason given"
    try:
        if data[:4] == ERROR:
            return str(decode(["string"], data[4:])[0])[:MOST]
        if data[:4] == PANIC:
            return f"panic 0x{decode(['uint256'], data[4:])[0]:02x}"
    except (DecodingError, UnicodeDecodeError):
        pass
    return f"error data 0x{data.hex()}"[:MOST]
