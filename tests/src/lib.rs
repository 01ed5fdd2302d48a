//! Helpers of kura's integration tests.
