"""Devices that tell by syslog that they were changed, and are collected for it."""
