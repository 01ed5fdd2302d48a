//! The kura server: a private knowledge assistant.
