"""Planning and changes: plan, apply, wait, guard, undo."""
