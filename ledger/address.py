"""Addresses as people write them. A wrong one loses money for good, so its checksum is compared.

Source: EIP-55.
"""

from eth_utils.address import is_checksum_formatted_address, is_hex_address, to_checksum_address

from ledger.types import Address


def parse_address(text: str) -> Address:
    """Read an address; one in mixed case must be its own checksum. Raise ValueError."""
    if not text.startswith("0x") or not is_hex_address(text):
        raise ValueError("not an address (0x and 40 hexadecimal digits)")
    checksummed = to_checksum_address(text)
    if is_checksum_formatted_address(text) and text != checksummed:
        raise ValueError("an address whose checksum is wrong; copy it again")
    return Address(checksummed)
