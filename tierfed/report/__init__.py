"""Reports: what happens, and what came of it, for people and for programs.

People get lines that fit their terminal; programs get one JSON document a command.  Nothing here
starts or ends anything.
"""
