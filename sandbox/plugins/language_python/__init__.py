"""The language host for Python: it finds a program's interpreter, runs the program and installs what it needs."""
