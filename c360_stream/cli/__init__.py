"""The command line: a module or package for each command declares it beside what it does."""
