"""The proof that the image and the compose file work in a container engine: `python -m tests.containers`.

Images of others are replaced by stand-ins, so that no registry is needed and the result is the same everywhere.
"""
