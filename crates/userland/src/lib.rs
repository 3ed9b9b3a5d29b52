//! The shell and core utilities that the wharf binary carries.
