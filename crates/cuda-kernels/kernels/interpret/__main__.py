"""Runs the checks of the modules named, or of all."""

import importlib
import sys
import traceback
from pathlib import Path

modules = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
modules = [name for name in modules if not name.startswith("_")]
if unknown := set(sys.argv[1:]) - set(modules):
    raise SystemExit(f"no {', '.join(sorted(unknown))}; there are {', '.join(modules)}")
passed, failed = 0, 0
for name in sys.argv[1:] or modules:
    checks = vars(importlib.import_module(f"interpret.{name}"))
    for check in [key for key in checks if key.startswith("check_")]:
        try:
            checks[check]()
        except Exception:
            failed += 1
            print(f"{name}: {check} failed\n{traceback.format_exc()}", flush=True)
        else:
            passed += 1
            print(f"{name}: {check}", flush=True)
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
