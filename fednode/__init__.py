"""The nodes of a federation: policy, data, models, training, aggregation and roles."""
