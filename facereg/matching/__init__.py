"""Matchers that come with the library."""
