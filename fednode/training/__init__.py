"""Local training: the one place where floats live, and the seam for a user's own framework."""
