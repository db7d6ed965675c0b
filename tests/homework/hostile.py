"""Submissions to the tiny course that attack: their marks, their grader, other members, the machine.

`{course}`, `{home}` and `{port}` are filled in: the course, a folder with a secret, a server on this machine.
Each wrong answer earns nothing, each right one what it earned; nothing outside a scratch folder changes.
"""

WRONG = "def double(x):\n    return 7\n"
RIGHT = "def double(x):\n    return 2 * x\n"

# They would get marks for nothing: name, code
CHEATS = {
    "replaces check": WRONG + "check = lambda *a, **k: None",
    "replaces check in its module": WRONG
    + "import course_utils.homework as h\nh.check = h._same = lambda *a, **k: True",
    "replaces modules": WRONG
    + "import sys, types\nfake = types.ModuleType('course_utils.homework')\nfake.check = lambda *a, **k: None\n"
    + "sys.modules['course_utils.homework'] = fake",
    "replaces builtins": WRONG
    + "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.AssertionError = KeyError",
    "equals everything": "class Always(int):\n    def __eq__(self, other):\n        return True\n"
    "    __hash__ = int.__hash__\ndef double(x):\n    return Always(7)",
    "equals everything, no number": "class Always:\n    def __eq__(self, other):\n        return True\n"
    "def double(x):\n    return Always()",
    "reads what is expected": "import sys\ndef double(x):\n    frame = sys._getframe()\n    while frame:\n"
    "        if 'expected' in frame.f_locals:\n            return frame.f_locals['expected']\n"
    "        frame = frame.f_back\n    return 7",
    "searches the memory": "import gc\ndef double(x):\n    for each in gc.get_objects():\n"
    "        if isinstance(each, dict) and type(each.get('expected')) is int:\n"
    "            return each['expected']\n    return 7",
    "swallows errors": WRONG
    + "import sys\nget_ipython().showtraceback = lambda *a, **k: None\nsys.excepthook = lambda *a: None",
    "replaces run_cell": WRONG + "ip = get_ipython()\nip.run_cell = lambda *a, **k: None",
    "transforms cells": WRONG + "get_ipython().input_transformers_post.append(lambda lines: ['pass\\n'])",
    "ends while it is tested": "import os\ndef double(x):\n    os._exit(0)",
    "writes to the line": "import os\ndef double(x):\n    for number in range(3, 60):\n        try:\n"
    "            os.write(number, b'\\x02' + 15 * b'\\x00' + b'{{}}')\n        except OSError:\n            pass\n"
    "    return 7",
}

# They would take or change what is not theirs, and leave their process as it is: name, code of a cell
THEFTS = {
    "reads the hidden tests": "import glob\n"
    "for path in glob.glob('{course}/source/*/*.ipynb'):\n    print('FOUND', open(path).read())",
    "reads others": "import os\nprint('FOUND', os.listdir('{course}/submitted'))",
    "reads the gradebook": "import sqlite3\n"
    "book = sqlite3.connect('file:{course}/gradebook.db?mode=rw', uri=True)\n"
    "print('FOUND', book.execute('select * from student').fetchall())",
    "reads the home folder": "print('FOUND', open('{home}/secret').read())",
    "reads the environment": "import os\nfrom pathlib import Path\nfound = str(dict(os.environ))\n"
    "for path in Path('/proc').glob('[0-9]*/environ'):\n    found += path.read_bytes().decode()\n"
    "print('FOUND' if 'hostile-secret' in found else 'nothing')",
    "deletes others": "import shutil\nshutil.rmtree('{course}/submitted', ignore_errors=True)",
    "writes the gradebook": "open('{course}/gradebook.db', 'wb').write(b'')",
    "writes the package": "import course_utils.homework as h\nopen(h.__file__, 'a').write('# mine')",
    "calls this machine": "import socket\nprint('FOUND', socket.create_connection(('127.0.0.1', {port}), 2))",
    "calls outside": "import socket\nprint('FOUND', socket.create_connection(('192.0.2.1', 80), 2))",
    "writes settings of the kernel": "path = '/proc/sys/kernel/core_pattern'\n"
    "value = open(path).read()\nopen(path, 'w').write(value)\nprint('FOUND')",
    "shows a script": "from IPython.display import HTML, Javascript, display\n"
    "display(HTML('<script>alert(1)</script>'), Javascript('alert(2)'))\nprint('<script>alert(3)</script>')",
}

# They would harm the machine or the grader: name, code behind a right answer
ATTACKS = {
    "writes gigabytes": RIGHT
    + "with open('large', 'wb') as file:\n    for _ in range(3000):\n        file.write(bytes(1_000_000))",
    "leaves a process": RIGHT
    + "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(987.125)'],"
    " start_new_session=True)",
    "kills its parent": RIGHT + "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)",
    "kills everybody": RIGHT + "import os, signal\nos.kill(-1, signal.SIGKILL)",
    "floods": RIGHT + "import os\nfor _ in range(100_000):\n    os.write(1, b'x' * 5_000)",
    "eats memory in children": RIGHT
    + "import os, time\nfor _ in range(4):\n    if os.fork() == 0:\n        held = bytearray(900_000_000)\n"
    "        held[::4096] = b'x' * len(held[::4096])\n        time.sleep(60)\ntime.sleep(30)",
    "multiplies": RIGHT + "import os, time\nfor _ in range(7):\n    os.fork()\ntime.sleep(20)",
}

SCRIPT = "<script>alert(4)</script><img src=x onerror=alert(5)> [link](javascript:alert(6)) an array"
