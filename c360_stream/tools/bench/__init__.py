"""`c360 bench`: reproducible benchmarks, each beside the floor that this machine had in the same minute."""

from c360_stream.tools.bench.command import bench

__all__ = ["bench"]
