//! Listings made on a thread of their own, for connectors that block.

use futures::StreamExt as _;
use futures::stream::BoxStream;
use kura_indexer::sync::{Failure, Item};
use tokio::sync::mpsc::{self, Sender};
use tokio_stream::wrappers::ReceiverStream;

/// Where a listing puts what it finds.
pub(super) type Found = Sender<Result<Item, Failure>>;

/// Items found and not yet taken in.
const AHEAD: usize = 1024;

/// Returns what `list` finds. When it fails, or panics, the stream ends with a failure: what is missing in a listing that
/// ends well counts as deleted.
pub(super) fn listing(
    list: impl FnOnce(&Found) -> Result<(), Failure> + Send + 'static,
) -> BoxStream<'static, Result<Item, Failure>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    drop(tokio::spawn(async move {
        let last = sender.clone();
        let listed = tokio::task::spawn_blocking(move || list(&sender)).await;
        if let Err(cause) = listed.unwrap_or_else(|error| Err(Failure(error.to_string()))) {
            drop(last.send(Err(cause)).await);
        }
    }));
    ReceiverStream::new(receiver).boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listing_that_fails_or_panics_does_not_end_well() {
        assert_eq!(listing(|_| Ok(())).count().await, 0);
        let failed: Vec<_> = listing(|_| Err(Failure("away".to_owned()))).collect().await;
        assert!(matches!(&failed[..], [Err(Failure(cause))] if cause == "away"));
        let panicked: Vec<_> = listing(|_| panic!("in the middle")).collect().await;
        assert!(matches!(&panicked[..], [Err(_)]));
    }
}
