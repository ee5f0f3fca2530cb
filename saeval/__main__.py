"""`python -m saeval` is the command `saeval`."""

from saeval.cli.app import main

if __name__ == "__main__":
    main()
