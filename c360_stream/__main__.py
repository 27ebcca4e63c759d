"""`python -m c360_stream` is `c360`."""

from c360_stream.cli import main

if __name__ == "__main__":
    main()
