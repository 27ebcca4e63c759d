"""Products of matrices on one thread: those of the models are small, and threads make them slower by far.

On several threads another order of sums may give other last bits, too, on a machine with more cores.
"""

from __future__ import annotations

from functools import cache

from threadpoolctl import threadpool_limits


@cache
def one_blas_thread() -> None:
    """Hold this process's BLAS to one thread, from now on."""
    threadpool_limits(limits=1, user_api="blas")
