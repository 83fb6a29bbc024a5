"""From a spec to a change: plan, apply, wait, guard, undo."""
