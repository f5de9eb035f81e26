# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures of the system tests, and the modules of the fault suite."""

import importlib.util
import os
import sys

sys.dont_write_bytecode = True  # the source tree stays as it is
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

_spec = importlib.util.spec_from_file_location("system_conftest", os.path.join(HERE, os.pardir, "system", "conftest.py"))
_system = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_system)
globals().update({name: value for name, value in vars(_system).items() if not name.startswith("_")})
