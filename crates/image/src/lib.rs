//! Store objects to OCI images.
