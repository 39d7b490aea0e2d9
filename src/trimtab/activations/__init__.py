"""Activations: directions between hidden states, as files and live in a model.

`directions` is what such a file holds and which model it fits; `contrast` extracts one by two sets
of prompts; `shifts` moves the hidden states of a model that runs.
"""

from typing import TYPE_CHECKING

from trimtab.machine.lazy_names import lazily

if TYPE_CHECKING:
    from trimtab.activations.contrast import PromptSet, extract
    from trimtab.activations.directions import Directions

__all__ = ["Directions", "PromptSet", "extract"]

_MODULES = {
    "Directions": "trimtab.activations.directions",
    "PromptSet": "trimtab.activations.contrast",
    "extract": "trimtab.activations.contrast",
}
__getattr__ = lazily(__name__, _MODULES)
