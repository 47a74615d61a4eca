"""The daemon of one node: its links, its rounds, its slice of the program."""
