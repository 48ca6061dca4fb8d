"""The detector lbp-cascade, for facereg."""
