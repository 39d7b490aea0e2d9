"""What the harness's command writes of an evaluation, with the truth about trimtab's models."""

from __future__ import annotations

from typing import Any

from lm_eval.loggers import EvaluationTracker
from lm_eval.utils import sanitize_model_name

from trimtab.models.source import name_of


class Tracker(EvaluationTracker):
    """The harness's own writer, told what ran and where.

    By itself it names the folder of a model that has no `pretrained` argument at random, and says
    that it ran on `cuda:0`, its command's default, whether or not there is one.
    """

    def save_results_aggregated(
        self, results: dict[str, Any], samples: dict[str, Any] | None = None
    ) -> None:
        """Write the results below a folder named by the method and its models."""
        config = results["config"]
        if about := config.get("trimtab"):
            named = self.general_config_tracker
            named.model_name = model_name(config["model_args"]["method"], about["models"])
            named.model_name_sanitized = sanitize_model_name(named.model_name)
            config["device"] = ", ".join(
                dict.fromkeys(model["device"] for model in about["models"].values())
            )
        super().save_results_aggregated(results, samples)


def model_name(method: str, models: dict[str, dict[str, Any]]) -> str:
    """Return what tells a method and its models from others, as in `nudging__large__small`."""
    paths = (model["path"] for role, model in models.items() if role != "draft")
    return "__".join([method, *map(name_of, paths)])
