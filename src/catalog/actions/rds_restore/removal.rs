//! The removal of a copy: never of what may be the only one, nor of what somebody wants to stay. Looks and changes.

use super::super::claims;
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
        let another = now.as_ref().and_then(|db| another(undo, db));
        if another.is_none() && now.as_ref().is_some_and(DbInstance::serves) {
            return Ok(true);
        }
        let passes = now.as_ref().is_none_or(|db| db.status == "renaming") && another.is_none();
        if passes && !over(cx, *self.missed.get_or_insert_with(|| cx.clock.now()), HIDDEN) {
            return Ok(false);
        }
        let why = match (another, now) {
            (Some(another), _) => another,
            (None, Some(db)) => {
                format!(
                    "{source}, which {id} was restored from, is `{}`, so {id} may be what serves",
                    db.status
                )
            }
            (None, None) => format!("{source}, which {id} was restored from, does not exist any more"),
        };
        Err(ActionError::hopeless(format!("{why}: it is not deleted")).hint(format!(
            "keep it, or take its deletion protection off and delete it with a snapshot: `aws rds delete-db-instance \
             --db-instance-identifier {id} --final-db-snapshot-identifier {id}-final`"
        )))
    }
}

/// That what has the source's name is another database, where the record says when the source was created.
fn another(undo: &Undo, now: &DbInstance) -> Option<String> {
    let was = undo.original.created_at.filter(|was| now.created_at != Some(*was))?;
    let at = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let is = now.created_at.map_or_else(|| "at a time that is not told".to_owned(), at);
    Some(format!(
        "{source} is another database now, created {is}: the one that {id} was restored from was created {was}, so {id} \
         may hold the only data there is",
        source = undo.source,
        id = undo.identifier,
        was = at(was),
    ))
}

/// Whether nobody has said that the copy is to stay. Its deletion protection was off when it was made.
///
/// # Errors
/// Who has, and what to do.
pub(super) fn unclaimed(cx: ReadCx<'_>, undo: &Undo, db: &DbInstance) -> Result<(), ActionError> {
    let (id, arn) = (&db.identifier, &db.arn);
    let (why, lift) = if db.deletion_protection && !undo.like.deletion_protection {
        let lift =
            format!("`aws rds modify-db-instance --db-instance-identifier {id} --no-deletion-protection`");
        (format!("somebody turned on the deletion protection of {id}"), lift)
    } else if let Some(tag) = claims::claimed(cx, &db.tags, &undo.tags) {
        (format!("somebody tagged {id} {tag}"), format!("take the tag {tag} off"))
    } else {
        return Ok(());
    };
    Err(ActionError::hopeless(format!("{why}, so it is not deleted")).hint(format!(
        "if it is to stay, take it out of the run: `aws rds remove-tags-from-resource --resource-name {arn} --tag-keys \
         {TAG_RUN} {TAG_STEP}`, then roll back with `--accept {}/{} --reason TEXT`; if not: {lift}, then roll back",
        cx.step, undo.source
    )))
}

/// Sends the deletion of a database that can be changed. Whether it was accepted.
pub(super) async fn remove(cx: WriteCx<'_>, db: &DbInstance) -> Result<bool, ActionError> {
    match cx.gate.send(deletion(&db.identifier)).await {
        Ok(_) => Ok(true),
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
