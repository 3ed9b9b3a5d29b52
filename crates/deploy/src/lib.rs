//! Container definitions to deployments.
