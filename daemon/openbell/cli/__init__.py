"""The command line `mdp`. Modules here import what a verb needs inside the verb: `--help` is quick."""
