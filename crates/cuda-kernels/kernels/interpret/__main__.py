"""Runs the checks of the modules named, or of all."""

import importlib
import sys
from pathlib import Path

modules = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
modules = [name for name in modules if not name.startswith("_")]
if unknown := set(sys.argv[1:]) - set(modules):
    raise SystemExit(f"no {', '.join(sorted(unknown))}; there are {', '.join(modules)}")
for name in sys.argv[1:] or modules:
    checks = vars(importlib.import_module(f"interpret.{name}"))
    for check in [key for key in checks if key.startswith("check_")]:
        checks[check]()
        print(f"{name}: {check}", flush=True)
