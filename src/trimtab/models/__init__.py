"""Language models: weights, tokenizer, and how each renders a conversation."""

from trimtab.models.conversation import Conversation, Exchange
from trimtab.models.language_model import LanguageModel

__all__ = ["Conversation", "Exchange", "LanguageModel"]
