// Compiles what Python imports at its start within Pyodide's python_stdlib.zip, once after npm has brought it: there
// are sources in it, and to compile them at each start took a reader's browser longer than all the rest.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { loadPyodide } from "../build/npm/node_modules/pyodide/pyodide.mjs";

const COMPILE = `
import io, sys, zipfile
from importlib import import_module
from importlib._bootstrap_external import _code_to_hash_pyc

sys.path += ["/course/site/live", "/course"]
for name in import_module("live").NAMES:
    import_module(f"course_utils.explorers.{name}")
library = next(path for path in sys.path if path.endswith(".zip"))
loaded = {getattr(module, "__file__", None) for module in sys.modules.values()}
made = io.BytesIO()
with zipfile.ZipFile(library) as sources, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as files:
    for name in sources.namelist():
        content, where = sources.read(name), f"{library}/{name}"
        if where in loaded and name.endswith(".py"):
            code = compile(content, where, "exec", dont_inherit=True)
            name, content = name + "c", _code_to_hash_pyc(code, bytes(8), False)
        files.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content, zipfile.ZIP_DEFLATED)
made.getvalue()
`;
const file = fileURLToPath(new URL("../build/npm/node_modules/pyodide/python_stdlib.zip", import.meta.url));
const python = await loadPyodide({ env: { PYTHONHASHSEED: "0", PYTHONDONTWRITEBYTECODE: "1" } });
python.mountNodeFS("/course", fileURLToPath(new URL("..", import.meta.url)));
writeFileSync(file, python.runPython(COMPILE).toJs());
