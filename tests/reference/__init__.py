"""An independent reading of the definitions: slow, obvious, and sharing no code with the package."""
