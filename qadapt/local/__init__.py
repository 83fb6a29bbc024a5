"""What qadapt keeps on this machine: settings, and code indexes beside a store."""
