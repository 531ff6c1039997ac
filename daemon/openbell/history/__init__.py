"""What was accepted and what became of it, in one SQLite file: the only place with SQL.

`store` is the history, `lock` keeps a second daemon off its state directory, `errors` is what can
be wrong with the file. Each is imported by itself, so that the command line can ask who serves a
state directory without loading the rest.
"""
