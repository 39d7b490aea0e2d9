"""Datastores: what followed which of a model's states, in examples."""
