"""LoRA adapters on a model: as PEFT writes them, merged into its weights or beside them."""
