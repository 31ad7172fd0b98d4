"""Tests on real machines: Debian with systemd as PID 1, the package installed with apt."""
