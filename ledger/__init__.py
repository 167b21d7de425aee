"""What happened: records, trees, stores, chain access, history and audit by replay."""
