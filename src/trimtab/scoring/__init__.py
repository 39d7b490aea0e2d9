"""Reading answers out of text: numbers, choices, yes or no, letters, dates.

Pure functions from the text of an answer to what it answers, or None. `published` is the rule of
the nudging authors; all other readers are strict: they read what a careful person would.
"""
