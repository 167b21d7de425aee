"""Data at a site: schema, sources, partitions, exact preprocessing, splits and commitments."""
