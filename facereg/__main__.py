"""`python -m facereg`."""

from facereg.cli import main

main()
