"""The test-suite; ``tests.servers`` has the servers that it shares."""
