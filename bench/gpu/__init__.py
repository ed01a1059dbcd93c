"""One day on a GPU, a subcommand each at most nine minutes: `python -m bench.gpu --help`."""
