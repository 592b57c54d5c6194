//! The removal of a copy: never of what may be the only one. Looks and changes.

use super::*;

/// Whether the copy is one too many: the database that it was made from is there, and can be what serves.
#[derive(Default)]
pub(super) struct OneTooMany {
    missed: Option<DateTime<Utc>>,
}

impl OneTooMany {
    /// Looks once; false while the original is not listed or being renamed, which passes.
    ///
    /// # Errors
    /// Where it stays so, or cannot be what serves, the copy may hold the only data there is: a person has to say.
    pub async fn shows(&mut self, cx: ReadCx<'_>, undo: &Undo) -> Result<bool, ActionError> {
        let (id, source) = (&undo.identifier, &undo.source);
        let now = standing(cx, source).await?;
        if now.as_ref().is_some_and(DbInstance::serves) {
            return Ok(true);
        }
        let passes = now.as_ref().is_none_or(|db| db.status == "renaming");
        if passes && !over(cx, *self.missed.get_or_insert_with(|| cx.clock.now()), HIDDEN) {
            return Ok(false);
        }
        let why = match now {
            Some(db) => {
                format!(
                    "{source}, which {id} was restored from, is `{}`, so {id} may be what serves",
                    db.status
                )
            }
            None => format!("{source}, which {id} was restored from, does not exist any more"),
        };
        Err(ActionError::hopeless(format!("{why}: it is not deleted")).hint(format!(
            "keep it, or take its deletion protection off and delete it with a snapshot: `aws rds delete-db-instance \
             --db-instance-identifier {id} --final-db-snapshot-identifier {id}-final`"
        )))
    }
}

/// One step towards the deletion of a database that can be changed: first its protection, then itself. Whether its
/// deletion was accepted.
pub(super) async fn remove(cx: WriteCx<'_>, db: &DbInstance) -> Result<bool, ActionError> {
    let mutation = if db.deletion_protection {
        let change = ModifyDb { deletion_protection: Some(false), ..ModifyDb::default() };
        Mutation::ModifyDb { identifier: db.identifier.clone(), change }
    } else {
        deletion(&db.identifier)
    };
    match cx.gate.send(mutation).await {
        Ok(_) => Ok(!db.deletion_protection),
        // its state has changed in between, or it is gone: the next look tells
        Err(e) if matches!(e.kind, ErrorKind::State | ErrorKind::NotFound) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

pub(super) fn not_seen(id: &str) -> ActionError {
    ActionError::hopeless(format!(
        "{id} was there and has not been listed for {} minutes, though its deletion was not accepted",
        HIDDEN.ms() / 60_000
    ))
    .effect(EffectCertainty::Unknown)
    .hint(format!(
        "`aws rds describe-db-instances --db-instance-identifier {id}`; if it is there and carries this run's \
         {TAG_RUN} tag: `aws rds delete-db-instance --db-instance-identifier {id} --skip-final-snapshot`"
    ))
}
