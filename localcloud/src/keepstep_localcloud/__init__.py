"""A local OCI that verifies every signature, and a local AWS: see :mod:`keepstep_localcloud.server`."""
