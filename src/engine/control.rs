//! What reaches a run from its own terminal: heard at once, whatever is being written.
//!
//! A signal first keeps everything that goes forward from beginning ([`Recorder::halt`]), then goes on record,
//! in the order in which things came. A third one lets go of the run even where the disk stands still.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::recorder::Recorder;
use super::state::RunState;
use super::{outlook, requests};
use crate::journal::{Event, Request, StopCause};
use crate::model::Stage;

/// How long a third signal waits to be on record.
const LAST_WORD: Duration = Duration::from_secs(1);

/// What reaches a run from its own terminal.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields say who and what")]
pub enum Control {
    /// SIGINT, SIGTERM, SIGQUIT or SIGHUP.
    Signal(String),
    /// A key: asked now or not at all.
    Asked { by: String, request: Request },
}

/// What to record, from the state as it is when it is written.
type Wanted = Box<dyn FnOnce(&RunState) -> Vec<Event> + Send>;

/// Something to record, and whom to tell that it is.
struct Order {
    wanted: Wanted,
    done: Option<oneshot::Sender<()>>,
}

/// Hears what comes, until nobody can say anything any more. `left`: a third signal came.
pub(super) async fn hear(
    recorder: Arc<Recorder>,
    finish: String,
    mut control: mpsc::Receiver<Control>,
    left: oneshot::Sender<()>,
) {
    let (orders, writing) = mpsc::unbounded_channel();
    let hearing = async {
        let mut count = recorder.with(|s, _| s.signals);
        while let Some(control) = control.recv().await {
            let wanted: Wanted = match control {
                Control::Signal(name) => {
                    recorder.halt();
                    count = count.saturating_add(1);
                    let finish = finish.clone();
                    Box::new(move |s| signalled(s, &finish, &name, count))
                }
                Control::Asked { by, request } => {
                    Box::new(move |s| requests::answer(s, &by, &request, None, true).into_iter().collect())
                }
            };
            if count < 3 {
                // the other half is polled as long as this one is
                let _written = orders.send(Order { wanted, done: None });
                continue;
            }
            let (done, recorded) = oneshot::channel();
            let _written = orders.send(Order { wanted, done: Some(done) });
            let _late = tokio::time::timeout(LAST_WORD, recorded).await;
            let _left = left.send(());
            return std::future::pending().await;
        }
        drop(orders);
    };
    tokio::join!(hearing, write(&recorder, writing));
}

async fn write(recorder: &Recorder, mut orders: mpsc::UnboundedReceiver<Order>) {
    while let Some(Order { wanted, done }) = orders.recv().await {
        // a journal that cannot be written ends the run: `is_broken`
        let _broken = recorder.durable_from(wanted).await;
        if let Some(done) = done {
            let _gone = done.send(());
        }
    }
}

fn signalled(state: &RunState, finish: &str, name: &str, count: u8) -> Vec<Event> {
    let now = outlook::after_signal(state, count, finish);
    let mut events = vec![Event::Signal { count, now }];
    if count == 1 && state.stage() != Stage::Undo {
        events.push(Event::stop(StopCause::Signal, format!("interrupted by {name}")));
    }
    events
}
