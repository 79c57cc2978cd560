#!/usr/bin/env python3
"""Runs a notebook's cells without Jupyter, in its folder, as Jupyter does; the first that raises ends it with status 1.

    run_notebook.py NOTEBOOK [--write]      --write: keeps what the cells show in the file (text, HTML, PNG); nothing of
                                            those tagged "times", which are of the machine and the moment
"""

import ast
import base64
import contextlib
import io
import json
import os
import sys


def shown(value: object) -> dict[str, object]:
    """A value as a notebook keeps it."""
    data: dict[str, object] = {"text/plain": [repr(value)]}
    if hasattr(value, "_repr_html_"):
        data["text/html"] = [value._repr_html_()]
    if hasattr(value, "_repr_png_"):
        data["image/png"] = base64.b64encode(value._repr_png_()).decode()
    return data


def run_cell(source: str, names: dict[str, object], count: int) -> list[dict[str, object]]:
    """Its outputs: what it printed, and the value of an expression at its end."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    value = None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, "<cell>", "exec"), names)
        if last is not None:
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    outputs: list[dict[str, object]] = []
    if printed.getvalue():
        outputs.append({"output_type": "stream", "name": "stdout", "text": printed.getvalue().splitlines(keepends=True)})
    if value is not None:
        outputs.append({"output_type": "execute_result", "execution_count": count, "metadata": {}, "data": shown(value)})
    return outputs


def main(path: str, *options: str) -> None:
    path = os.path.abspath(path)
    with open(path, encoding="utf-8") as file:
        notebook = json.load(file)
    os.chdir(os.path.dirname(path))
    names: dict[str, object] = {"__name__": "__main__"}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for count, cell in enumerate(cells, 1):
        cell["outputs"], cell["execution_count"] = run_cell("".join(cell["source"]), names, count), count
        if "times" in cell["metadata"].get("tags", []):
            cell["outputs"] = []
    if "--write" in options:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(notebook, file, indent=1)
            file.write("\n")
    print(f"{len(cells)} cells ran")


if __name__ == "__main__":
    main(*sys.argv[1:])
