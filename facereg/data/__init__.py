"""Readers: every layout of annotation becomes one of a few values with absolute paths."""
