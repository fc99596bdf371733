"""The `tepui` command: each subcommand is one file, imported when it is used."""
