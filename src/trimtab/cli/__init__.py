"""The `trimtab` command: a verb a module, and how it prints."""
