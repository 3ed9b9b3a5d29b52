//! An image to a running container.
