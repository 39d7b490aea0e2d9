"""What a served method is called: by itself, and with its dial at a value."""

from __future__ import annotations

import math
import time
from typing import Any

from trimtab.methods import Method
from trimtab.serve.wire import Refused


class Names:
    """The names of a method: `nudging`, and `nudging@0.4` with its dial there.

    Args:
        name: of the method.
        method: the method.
    """

    def __init__(self, name: str, method: Method) -> None:
        self._name, self._method = name, method
        self._created = int(time.time())

    def dials(self, name: str) -> dict[str, Any]:
        """Return the dials that a name stands for.

        Raises:
            Refused: for another name, and a value that is no number.
        """
        own, at, value = name.partition("@")
        if own != self._name or (at and self._method.dial is None):
            raise Refused(f"model={name!r}: {self._accepted}", "model", 404, "model_not_found")
        if not at:
            return {}
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise Refused(f"model={name!r}: {self._accepted}", "model", 404, "model_not_found")
        assert self._method.dial is not None
        return {self._method.dial: int(number) if number.is_integer() else number}

    def listed(self) -> list[dict[str, Any]]:
        """Return what `/v1/models` lists: the method as it is."""
        own: dict[str, Any] = {"dials": list(self._method.dials)}
        if self._method.dial is not None:
            own[self._method.dial] = self._method.value
        return [
            {
                "id": self._name,
                "object": "model",
                "created": self._created,
                "owned_by": "trimtab",
                "trimtab": own,
            }
        ]

    @property
    def _accepted(self) -> str:
        if self._method.dial is None:
            return f"accepted is {self._name}."
        return f"accepted is {self._name}, or {self._name}@VALUE of its {self._method.dial}."
