"""Takes the secrets of addresses out of everything that a command prints or logs.

Errors of our own name an address by `ledger.urls.shown`. Libraries write whole URLs, or only their
paths, into messages and tracebacks, and a node may repeat a key that it does not know. So the words
of the command line and the environment say what must not be printed, and all output passes here.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ledger.urls import HIDDEN, LEAST_SECRET, secrets_of, shown

OPTIONS = ("--rpc", "--ipfs", "--relay")
VARIABLES = ("FEDNODE_RPC", "FEDNODE_IPFS", "FEDNODE_RELAY")
TOKEN = "FEDNODE_IPFS_TOKEN"
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
# A scheme without an end would be looked for from each of its letters.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,40}://[^\s'\"<>]+")


_BARE = re.compile(r"[^/\s]*:[^\s]*@|[^/:\s]+:[0-9]{1,5}(?:/|$)|[a-z]+:/[^/]")
"""Addresses whose scheme was forgotten: `user:password@host`, `host:port/key`, `https:/host/key`. A
model's `module:factory` and a name are none.
"""


@dataclass(frozen=True, slots=True)
class Scrub:
    """Hides secrets in a text: `secrets` word by word, and all but the host of every URL."""

    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, words: Sequence[str], environment: Mapping[str, str]) -> "Scrub":
        """Learn the secrets of a command line and its environment."""
        addresses = [*_addresses(words), *_variables(environment)]
        told = " ".join(map(shown, addresses)).lower()
        found = {secret for address in addresses for secret in secrets_of(address)}
        hidden = [secret for secret in found if secret.lower() not in told]
        token = environment.get(TOKEN, "").strip()
        hidden += [token] if len(token) >= LEAST_SECRET else []
        return cls(tuple(sorted(hidden, key=lambda secret: (-len(secret), secret))))

    def __call__(self, text: str) -> str:
        """Give a text of an error or a log without secrets."""
        return self.known(_URL.sub(lambda url: _kept_end(url[0]), text))

    def known(self, text: str) -> str:
        """Give a text without the known secrets; other addresses in it stay."""
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def record(self, value: object) -> object:
        """Give a value for JSON without the known secrets in its texts."""
        if isinstance(value, str):
            return self.known(value)
        if isinstance(value, Mapping):
            return {key: self.record(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.record(item) for item in value]
        return value


NO_SECRETS = Scrub()


def _addresses(words: Sequence[str]) -> Iterator[str]:
    """Pick what is, or stands where there should be, an address among a command's words."""
    for before, word in zip(("", *words), words, strict=False):
        option, equals, value = word.partition("=")
        if before in OPTIONS:
            yield word
        elif equals and option.startswith("--"):
            if option in OPTIONS or "://" in value:
                yield value
        elif "://" in word or _BARE.match(word):
            yield word


def _variables(environment: Mapping[str, str]) -> Iterable[str]:
    for name, value in environment.items():
        if name in VARIABLES or name.lower() in _PROXIES:
            yield value


def _kept_end(url: str) -> str:
    """Show a URL; keep the punctuation of the sentence that it ends."""
    bare = url.rstrip(".,;:)]}")
    return shown(bare) + url[len(bare) :]
