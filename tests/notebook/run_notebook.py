"""Runs a notebook in a kernel that is killed at the end: python run_notebook.py FILE FOLDER [SECONDS A CELL].

It prints what each cell said, and which processes of trees there were when the last cell had ended.
It is a process of its own, as Jupyter is: its warnings are not ours.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient

from tierfed.launch.interpreter import RUN_VARIABLE
from tierfed.launch.pids import tagged


def main(file: str, folder: str, seconds: str = "60") -> dict[str, Any]:
    """Return what the cells said and showed, and the pids and start times of processes that are there."""
    notebook = nbformat.read(file, as_version=4)
    kernel = KernelManager(kernel_name="python3")
    client = NotebookClient(notebook, km=kernel, timeout=int(seconds), resources={"metadata": {"path": folder}})
    try:
        client.execute()
        runs = [entry.name for entry in Path(folder, ".tierfed").glob("**/runs/*")]
        there = [(process.pid, process.start) for run in runs for process in tagged(RUN_VARIABLE, run)]
    finally:
        kernel.shutdown_kernel(now=True)  # SIGKILL: nothing is said to anybody
    said = {cell.id: _said(cell) for cell in notebook.cells if cell.cell_type == "code"}
    shown = {cell.id: "".join(_html(output) for output in cell.get("outputs", ())) for cell in notebook.cells}
    return {"said": said, "shown": shown, "runs": len(runs), "there": there}


def _said(cell: nbformat.NotebookNode) -> str:
    """Return a cell's outputs: what it printed, also if a display came in between, then text and HTML without tags.

    What it raised is the name of the error and its text.
    """
    said = ["".join(output.get("text", "") for output in cell.outputs)]
    for output in cell.outputs:
        said += [f"{output.ename}: {output.evalue}"] if output.output_type == "error" else []
        data = output.get("data", {})
        said += [data.get("text/plain", ""), re.sub(r"<[^>]*>", "|", _html(output))]
    return "\n".join(part for part in said if part)


def _html(output: nbformat.NotebookNode) -> str:
    return str(output.get("data", {}).get("text/html", ""))


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
