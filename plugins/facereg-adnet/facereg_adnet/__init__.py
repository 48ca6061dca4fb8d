"""ADNet: an aligner that finds 68 or 98 points of a face from its box alone."""
