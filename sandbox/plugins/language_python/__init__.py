"""The language host for Python: it finds a program's interpreter, installs its packages and runs it."""
