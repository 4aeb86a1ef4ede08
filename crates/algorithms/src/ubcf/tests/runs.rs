//! Whole training runs in a folder.
