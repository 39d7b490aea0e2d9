"""Language models: weights, tokenizer, and how each renders a conversation."""

from trimtab.models.conversation import Conversation
from trimtab.models.language_model import LanguageModel

__all__ = ["Conversation", "LanguageModel"]
