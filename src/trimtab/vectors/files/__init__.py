"""From folder to folder: a vector is extracted from two models, and applied to one."""
