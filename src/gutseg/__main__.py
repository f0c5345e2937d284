"""python -m gutseg VERB ..."""

from gutseg.cli import main

main()
