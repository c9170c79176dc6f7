"""`python -m plainwire` is the command `plainwire`."""

from plainwire.cli.main import main

if __name__ == "__main__":
    main()
