"""`python -m tierfed`: the command line."""

from tierfed.cli import main

if __name__ == "__main__":
    main()
