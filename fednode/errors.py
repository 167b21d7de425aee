"""What can go wrong in a node, as one tree of exceptions whose text a user can act on."""


class FedNodeError(Exception):
    """Base of every error that the fednode package raises."""
