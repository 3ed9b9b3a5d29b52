//! Store objects, their references and roots.
