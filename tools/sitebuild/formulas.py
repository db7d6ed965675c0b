"""Formulas as HTML, made by KaTeX while the site is built, so that no page needs a script for them."""

import json
import subprocess
from functools import cache
from pathlib import Path

NPM = Path(__file__).resolve().parents[2] / "build" / "npm" / "node_modules"
_SCRIPT = """
const katex = require(process.argv[1]);
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const [tex, displayMode] = JSON.parse(line);
  const made = {};
  try {
    made.html = katex.renderToString(tex, { displayMode, throwOnError: true, output: "htmlAndMathml" });
  } catch (error) {
    made.fault = error.message;
  }
  console.log(JSON.stringify(made));
});
"""


@cache
def _katex() -> subprocess.Popen:
    """One Node.js for all formulas, a line for each; it ends with us, when its input does."""
    command = ["node", "-e", _SCRIPT, str(NPM / "katex")]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    )


@cache
def render(tex: str, block: bool = False) -> str:
    """The formula as HTML with MathML for screen readers; raises ValueError where KaTeX can't read it."""
    _katex().stdin.write(json.dumps([tex, block]) + "\n")
    _katex().stdin.flush()
    made = json.loads(_katex().stdout.readline() or '{"fault": "Node.js ended (see above)."}')
    if "fault" in made:
        raise ValueError(f"KaTeX can't read ${tex}$: {made['fault']}")
    return f'<div class="formula" tabindex="0">{made["html"]}</div>' if block else made["html"]


def visit_math(writer, node):
    from docutils import nodes

    writer.body.append(render(node.astext()))
    raise nodes.SkipNode


def visit_block(writer, node):
    from docutils import nodes

    writer.body.append(render(node.astext(), block=True))
    raise nodes.SkipNode
