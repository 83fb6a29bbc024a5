"""Local state of qadapt: settings and client-side codes."""
