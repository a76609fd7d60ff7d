"""AWS Secrets Manager, as strict as AWS documents it: part of the local AWS."""
