//! What only a ModifyDBInstance can bring, once the copy is available.
//!
//! Left to others: which settings those are. Invariant: each part is asked for by a call of its own, so that one that is
//! refused takes none of the others with it, and none is asked for while an earlier one is under way.

use chrono::{DateTime, Utc};

use super::{Undo, find, is_failed, is_usable, over, pause, settings, standing};
use crate::catalog::action::{ActionError, WriteCx};
use crate::cloud::{ErrorKind, Mutation};
use crate::model::Dur;

/// For how long a setting that comes later is asked for again where the database's state refuses it.
const REFUSED: Dur = Dur::mins(15);
/// For how long a setting that AWS has accepted is waited for: the database stays `available` for up to a minute or more
/// before it says `modifying`, so that its state does not tell that it is done.
const ACCEPTED: Dur = Dur::mins(10);

/// Carries over what the restore could not be told. What fails is returned, since the data is restored all the same.
pub(super) async fn carry_over(cx: WriteCx<'_>, undo: &Undo) -> Vec<String> {
    let mut lost = Vec::new();
    for (what, part) in settings::PARTS {
        if part(&undo.original, None).is_some()
            && let Err(e) = one(cx, undo, part).await
        {
            lost.push(format!("{what} could not be carried over: {}", e.message));
        }
    }
    lost
}

async fn one(cx: WriteCx<'_>, undo: &Undo, part: settings::Part) -> Result<(), ActionError> {
    let (mut turn, mut refused) = (0, None);
    let sent = loop {
        let db = standing(cx.read, &undo.identifier)
            .await?
            .ok_or_else(|| ActionError::refused("the copy is gone"))?;
        if is_failed(&db.status) {
            return Err(ActionError::refused(format!("the copy is {}", db.status)));
        }
        if is_usable(&db.status) {
            let Some(change) = part(&undo.original, Some(&db)) else { return Ok(()) };
            let mutation = Mutation::ModifyDb { identifier: undo.identifier.clone(), change };
            match cx.gate.send(mutation).await {
                // its first backup began in between, say
                Err(e) if e.kind == ErrorKind::State && !late(cx, &mut refused, REFUSED) => {}
                sent => break sent,
            }
        }
        pause(&mut turn).await;
    };
    sent?;
    let (mut turn, mut since) = (0, None);
    while !late(cx, &mut since, ACCEPTED) {
        match find(cx.read, &undo.identifier).await? {
            Some(db) if is_failed(&db.status) || part(&undo.original, Some(&db)).is_none() => break,
            _ => pause(&mut turn).await,
        }
    }
    Ok(())
}

/// Whether so much time has passed since it was first asked.
fn late(cx: WriteCx<'_>, since: &mut Option<DateTime<Utc>>, span: Dur) -> bool {
    over(cx.read, *since.get_or_insert_with(|| cx.read.clock.now()), span)
}
