"""Files: read within limits, replaced whole, written inside their folder."""
