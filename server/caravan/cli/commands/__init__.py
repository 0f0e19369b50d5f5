"""The commands of `caravan`, a file each, whose `command` is what typer calls."""
