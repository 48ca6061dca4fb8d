"""Where a network runs: in this process, or on a server."""
