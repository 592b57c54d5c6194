//! AWS's clock, asked again where those of the machine came apart in the middle of a run. One read, I/O.
//!
//! A virtual machine that was paused lost that time on its monotonic clock; one whose wall clock was set lost none. Which
//! it was, only a third clock tells. Invariant: nothing waits for the answer.

use std::sync::Arc;
use std::time::Duration;

use super::driver::Shared;
use super::preflight::skew;
use crate::journal::Event;

/// Between one try and the next.
const AGAIN: Duration = Duration::from_secs(5);

/// Asks each time that the clocks come apart, until AWS has answered.
pub async fn watch(shared: Arc<Shared>) {
    loop {
        shared.recorder.until(|s| s.timeline.is_unsettled()).await;
        if shared.recorder.is_broken() {
            return;
        }
        let before = shared.clock.now();
        match shared.cloud.reads.sts.identity().await {
            Ok(identity) => {
                // an AWS that does not tell its time never will
                let Some(ms) = skew(before, &identity) else { return };
                if shared.recorder.durable(vec![Event::Skew { ms }]).await.is_err() {
                    return;
                }
            }
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    }
}
