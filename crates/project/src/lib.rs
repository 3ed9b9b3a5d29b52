//! A directory to its containers.
