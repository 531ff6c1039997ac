"""One suite a kind of plugin: a subclass with one fixture is a plugin's conformance test.

Every case's docstring begins with the number of its clause in `daemon/spec/*.md`.
"""
