"""What a node does in a federation: participant and proposer, one step at a time."""
