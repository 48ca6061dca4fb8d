"""The detector new-name, for facereg."""
