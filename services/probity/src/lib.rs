//! The operator command line and the all-in-one platform.
