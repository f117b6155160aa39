"""The commands of `python -m operations`, by subject.

The first line of a command's docstring is its line in the list of commands: at most 60 characters.
"""
