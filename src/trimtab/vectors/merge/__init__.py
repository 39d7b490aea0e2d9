"""Vectors made of vectors: soups, TIES, DARE, EMR."""
