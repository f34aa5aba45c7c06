"""The operator: custom resources in, records and mounted templates out."""
