//! The one door: authentication, gRPC proxying and REST transcoding.
