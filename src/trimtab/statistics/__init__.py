"""Estimates with their intervals, comparisons of pairs, agreement of raters."""
