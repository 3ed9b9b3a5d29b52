//! The OCI registry client.
