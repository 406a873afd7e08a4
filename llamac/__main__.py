"""`python -m llamac`."""

from llamac.cli import main

main()
