"""The verdict in short, for somebody who decides: against the best batch model, and against doing without any model."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean
from typing import Any

from c360_stream.tools.evaluate.clusters import Estimate
from c360_stream.tools.evaluate.names import BASE_RATE, BATCH_NAMES, SILENCE
from c360_stream.tools.evaluate.pooled import Pool, interval


def in_short(pool: Pool) -> Iterator[str]:
    """Sentences on how it ranks, and how good its percentages are, beside the best batch model and silence."""
    if pool.roc_auc is None:
        return
    ranks, losses = pool.best_peer(), pool.best_peer(by="log_loss")
    if ranks is None:
        yield "No batch model could be fitted to compare with: too few outcomes were known."
    else:
        above = pool.above(ranks)
        assert above is not None  # noqa: S101 - it was chosen by this
        yield (
            f"It ranks accounts {_how(above, 'better than', 'as well as', 'worse than')} the best batch model that we"
            f" fitted anew every month ({BATCH_NAMES[ranks]}): of one account that left and one that stayed, it put the"
            f" one that left first {_of_hundred(pool.roc_auc.value)}, the batch model"
            f" {_of_hundred(pool.roc_auc.value - above.value)}."
        )
    if losses is not None:
        above = pool.log_loss_above(losses)
        assert above is not None  # noqa: S101 - it was chosen by this
        lower = Estimate(-above.value, above.error)
        how = _how(
            lower, "closer to what happened than", "as close to what happened as", "further from what happened than"
        )
        yield f"Its percentages are {how} those of the best one ({BATCH_NAMES[losses]})."
    silence = pool.above(SILENCE)
    if silence is not None:
        how = _how(silence, "better than", "no better than", "worse than")
        yield (
            f"It ranks {how} a list of who has been silent longest, which needs no model and puts the one that left"
            f" first {_of_hundred(pool.roc_auc.value - silence.value)}."
        )


def _how(above: Estimate, better: str, alike: str, worse: str) -> str:
    low, high = interval(above)
    return better if low > 0 else worse if high < 0 else alike


def _of_hundred(roc_auc: float) -> str:
    return f"{100 * roc_auc:.0f} times in 100"


def from_second_month(pool: Pool) -> Iterator[str]:
    """What holds from the second month on, before batch models could be fitted too."""
    found = [world["second_month"] for world in pool.worlds if world["second_month"]]
    named = ((pool.run, "the flow"), (SILENCE, "longest silent first"), (BASE_RATE, "the base rate"))
    shown = [text for name, called in named if (text := _figures(found, name, called))]
    if shown:
        first = min(one["first_day"] for one in found)
        yield f"From the second month on ({first}), also where no batch model could be fitted yet: {'; '.join(shown)}."


def _figures(found: list[dict[str, Any]], name: str, text: str) -> str:
    values = []
    for metric, called in (("roc_auc", "ROC-AUC"), ("pr_auc", "average precision"), ("log_loss", "log loss")):
        known = [one["scorers"][name][metric]["value"] for one in found if one["scorers"][name].get(metric)]
        values += [f"{called} {fmean(known):.3f}"] if known else []
    return f"{text} {', '.join(values)}" if values else ""
