"""Changed bytes for every reader of what others wrote: `python -m tests.mutation`."""
