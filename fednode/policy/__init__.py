"""The policy of a federation: a TOML file, a header for the contract, a record for everybody."""

from fednode.policy.cost import Cost, predict, require_windows
from fednode.policy.document import Policy, require_header, require_same
from fednode.policy.errors import PolicyError
from fednode.policy.load import built_in, load_policy, parse_policy
from fednode.policy.sections import CREATOR
from fednode.policy.warnings import shards_warning

__all__ = [
    "CREATOR",
    "Cost",
    "Policy",
    "PolicyError",
    "built_in",
    "load_policy",
    "parse_policy",
    "predict",
    "require_header",
    "require_same",
    "require_windows",
    "shards_warning",
]
