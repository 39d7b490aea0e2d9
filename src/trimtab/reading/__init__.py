"""Reading answers out of text: numbers, choices, yes or no, phrases, letters, dates.

Pure functions from the text of an answer to what it answers, or None. They read what `spoken` makes
of a text: without thinking, further questions and markup, in plain characters. `published` is the
rule of the nudging authors, and takes texts as they are; all other readers are strict: they read
what a careful person would, and nothing from a format that they do not know.
"""

READERS = "readers-3"
"""To be changed whenever an answer is read otherwise: finished runs are then scored anew."""
