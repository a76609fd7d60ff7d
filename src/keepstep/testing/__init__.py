"""Stores, vaults, databases and recipients in memory, for tests of what uses their interfaces; no job names one."""
