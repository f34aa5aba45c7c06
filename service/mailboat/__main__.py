"""`python -m mailboat` is `mailboat`."""

from mailboat.cli import main

main()
