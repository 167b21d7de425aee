"""What of an address may be shown: scheme, host and port.

Everything else in it may be a secret: a password, a token in the query, a provider's key in the
path. So errors, logs and reports name an address through `shown`, and `secrets_of` names the rest,
for an edge that has to take it out of what libraries say.

Source: RFC 3986.
"""

import re
from base64 import b64encode
from collections.abc import Iterator
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import quote, unquote, unquote_plus

HIDDEN: Final = "***"
LEAST_SECRET: Final = 6
"""Shorter parts, such as `v3`, are words that stand in ordinary messages, too."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_MULTIADDR = re.compile(
    r"/(?:ip[46]|dns(?:4|6|addr)?)/[A-Za-z0-9._:-]{1,253}(?:/(?:tcp|udp)/[0-9]{1,5})?"
    r"(?:/https?)?(?=/|$)",
    re.IGNORECASE,
)
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]")
_PORT = re.compile(r"[0-9]{1,5}")
_PLACE = re.compile(r"(?:\[([^\[\]]*)\]|([^\[\]:]*))(?::([^:]*))?")
MOST_PORT: Final = 65_535
MOST_HOST: Final = 253
MOST_LABEL: Final = 63
_LABEL = re.compile(r"[A-Za-z0-9_-]+")
_NUMERIC = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
"""A last label that makes a host an IPv4 address (the URL standard, "ends in a number")."""
_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}(?:\.{_OCTET}){{3}}")
_DELIMITERS = re.compile(r"[/?#&=;,:@]")


def shown(address: str) -> str:
    """Give scheme, host and port of a URL; of anything else what is certainly no secret.

    The path of a socket or a folder stays as it is, a multiaddr up to its port and `http`.
    """
    scheme = _SCHEME.match(address)
    if scheme is not None:
        return f"{scheme[1].lower()}://{_authority(address[scheme.end() :])}"
    if any(mark in address for mark in "@?#"):
        return HIDDEN
    multiaddr = _MULTIADDR.match(address)
    if multiaddr is not None:
        rest = address[multiaddr.end() :].strip("/")
        return multiaddr[0] + (f"/{HIDDEN}" if rest else "")
    if address.startswith(("/", "./", "../")):
        return address
    # A URL whose scheme was forgotten looks like a relative path.
    first, slash, _ = address.partition("/")
    return _authority(first) + (f"/{HIDDEN}" if slash else "")


def fault_of(url: str) -> str | None:
    """Say why a URL names no host and port that can be connected to; None if it does.

    Nothing of the URL is repeated: where a host or port is wrong, a password may stand in its
    place.
    """
    scheme = _SCHEME.match(url)
    rest = url[scheme.end() :] if scheme else url
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "@" in rest[len(authority) :]:
        return "its user or password holds one of / ? # \\, which is written as %2F %3F %23 %5C"
    place = _PLACE.fullmatch(authority.rpartition("@")[2])
    if place is None:
        return "an IPv6 address stands in brackets, as in http://[::1]:8545"
    six, host, port = place.groups()
    if not six and not host:
        return "it names no host"
    if six and not _is_ipv6(six):
        return "what stands in brackets is no IPv6 address"
    if port is not None and not (_PORT.fullmatch(port) and 0 < int(port) <= MOST_PORT):
        return f"its port is no number from 1 to {MOST_PORT}"
    return None


def fault_of_host(host: str) -> str | None:
    """Say why a host is neither an address nor a name that can be looked up; None if it is."""
    if ":" in host:
        return None if _is_ipv6(host) else "its host is no IPv6 address"
    labels = host.removesuffix(".").split(".")
    if _NUMERIC.fullmatch(labels[-1]) and not _IPV4.fullmatch(host):
        return "its host is no IPv4 address of four numbers from 0 to 255, as in 127.0.0.1"
    if not all(labels):
        return "its host has an empty part between dots"
    if len(host) > MOST_HOST or max(map(len, labels)) > MOST_LABEL:
        return f"its host has more than {MOST_HOST} letters, or {MOST_LABEL} between dots"
    if not all(_LABEL.fullmatch(label) for label in labels):
        return "its host holds a character that no name has"
    return None


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True


def _authority(rest: str) -> str:
    """Give host and port of what follows the scheme, or what stands for them.

    A password that was not escaped can hold any delimiter: then what looks like host and port may
    be a part of it, and nothing is shown.
    """
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    if "@" in rest[len(authority) :]:
        return HIDDEN
    host, port = authority.rpartition("@")[2], ""
    if not _HOST.fullmatch(host):
        host, _, port = host.rpartition(":")
    if not _HOST.fullmatch(host):
        return HIDDEN
    if not port:
        return host
    return f"{host}:{port if _PORT.fullmatch(port) else HIDDEN}"


def secrets_of(address: str) -> frozenset[str]:
    """Give the parts of an address that must not be shown, as written and as libraries write
    them.
    """
    return frozenset(part for part in _parts(address) if len(part) >= LEAST_SECRET)


def _parts(address: str) -> Iterator[str]:
    told = shown(address)
    if address.rstrip("/") == told:
        return
    scheme = _SCHEME.match(address)
    rest = address[scheme.end() :] if scheme else address
    login = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")[0]
    if login:
        yield b64encode(unquote(login).encode(errors="surrogateescape")).decode()
    for part in (rest, *_DELIMITERS.split(rest)):
        for form in {part, unquote(part), unquote_plus(part), quote(part), quote(part, safe="")}:
            if form.lower() not in told.lower():
                yield form
                yield repr(form)[1:-1]
