"""Formulas as HTML, made by KaTeX while the site is built, so that no page needs a script for them."""

import json
import subprocess
from functools import cache
from pathlib import Path

NPM = Path(__file__).resolve().parents[2] / "build" / "npm" / "node_modules"
_SCRIPT = """
const katex = require(process.argv[1]);
const [tex, displayMode] = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(katex.renderToString(tex, { displayMode, throwOnError: true, output: "htmlAndMathml" }));
"""


@cache
def render(tex: str, block: bool = False) -> str:
    """The formula as HTML with MathML for screen readers; raises ValueError where KaTeX can't read it."""
    command = ["node", "-e", _SCRIPT, str(NPM / "katex")]
    sent = json.dumps([tex, block])
    run = subprocess.run(command, input=sent, capture_output=True, text=True, check=False)
    if run.returncode:
        raise ValueError(f"KaTeX can't read ${tex}$: {run.stderr.strip().splitlines()[-1]}")
    return f'<div class="formula" tabindex="0">{run.stdout}</div>' if block else run.stdout


def visit_math(writer, node):
    from docutils import nodes

    writer.body.append(render(node.astext()))
    raise nodes.SkipNode


def visit_block(writer, node):
    from docutils import nodes

    writer.body.append(render(node.astext(), block=True))
    raise nodes.SkipNode
