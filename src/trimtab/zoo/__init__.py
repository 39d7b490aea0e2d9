"""The embedded model family: small, real, trained models that travel with the package.

`path(name)` is an ordinary model folder that plain transformers loads; `zoo:<name>` is how
configurations spell it. How the models are made is in `experiments/zoo`.
"""

from pathlib import Path

from trimtab.config.accepted import require_choice

_ROOT = Path(__file__).parent
_PREFIX = "zoo:"


def name_in(path: str) -> str | None:
    """Return NAME of a path `zoo:NAME`, None of any other."""
    return path.removeprefix(_PREFIX) if path.startswith(_PREFIX) else None


def names() -> list[str]:
    """Return the names of the embedded models, sorted."""
    return sorted(folder.parent.name for folder in (_ROOT / "models").glob("*/config.json"))


def path(name: str) -> Path:
    """Return the folder of the embedded model `name`; ValueError with the nearest name if none."""
    require_choice("Embedded model", name, names())
    return _ROOT / "models" / name


def vector_names() -> list[str]:
    """Return the names of the embedded alignment vectors, sorted."""
    return sorted(file.parent.name for file in (_ROOT / "vectors").glob("*/vector.safetensors"))


def vector_path(name: str) -> Path:
    """Return the folder of the embedded vector `name`; ValueError with the nearest if none."""
    require_choice("Embedded vector", name, vector_names())
    return _ROOT / "vectors" / name


def data_path(task: str, split: str) -> Path:
    """Return the JSON-lines file of held-out rows of an embedded task."""
    splits = [f.stem.removeprefix(f"{task}-") for f in (_ROOT / "data").glob(f"{task}-*.jsonl")]
    require_choice(f"Split of {task}", split, splits)
    return _ROOT / "data" / f"{task}-{split}.jsonl"
