"""Where daemons live: one supervisor a run, one zygote, and the nodes forked from it.

The command line and Python use `launch.processes.launch`; `launch.runs` finds
what is running.  docs/processes.md tells who starts whom and who dies with whom.
Nothing is imported here: supervisor and zygote stay small.
"""
