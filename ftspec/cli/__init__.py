"""The command line: parse, call one function, exit code. One module per group of commands, imported when asked for."""
