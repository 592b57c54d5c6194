//! The certificate authorities that RDS knows: an old database may still have one that no new database gets. Reads only.
//!
//! Asked once for all databases. What cannot be told is taken for known: then the restore says what the source has.

use chrono::{DateTime, Utc};

use crate::catalog::action::ReadCx;
use crate::cloud::{Certificate, CloudResult, DbInstance, all_pages};

/// Those that RDS knows; none where nobody asked.
#[derive(Debug, Default)]
pub(super) struct Known(Vec<Certificate>);

/// What RDS knows, where one of these databases has a CA.
pub(super) async fn known(
    cx: ReadCx<'_>,
    mut sources: impl Iterator<Item = &DbInstance>,
) -> CloudResult<Known> {
    if sources.all(|db| db.ca.is_none()) {
        return Ok(Known::default());
    }
    Ok(Known(all_pages(|page| cx.reads.rds.certificates(page)).await?))
}

impl Known {
    /// Why a new database cannot have this one's CA, where it cannot.
    pub(super) fn lost(&self, db: &DbInstance, now: DateTime<Utc>) -> Option<String> {
        let ca = db.ca.as_deref().filter(|_| !self.0.is_empty())?;
        let found = self.0.iter().find(|c| c.id.eq_ignore_ascii_case(ca));
        let Some(found) = found else { return Some(format!("RDS does not know its CA {ca} any more")) };
        let until = found.valid_until.filter(|until| *until <= now)?;
        Some(format!("its CA {ca} expired on {}", until.format("%Y-%m-%d")))
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn a_ca_is_lost_when_it_is_not_listed_or_has_expired() {
        let now = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(20_000);
        let db = DbInstance { ca: Some("rds-ca-2019".to_owned()), ..DbInstance::default() };
        let listed = |id: &str, days: i64| {
            let valid_until = Some(now + TimeDelta::days(days));
            Known(vec![Certificate { id: id.to_owned(), valid_until }])
        };
        assert_eq!(listed("rds-ca-2019", 1).lost(&db, now), None);
        let why = listed("rds-ca-2019", 0).lost(&db, now);
        assert_eq!(why.as_deref(), Some("its CA rds-ca-2019 expired on 2024-10-04"));
        let why = listed("rds-ca-rsa2048-g1", 9).lost(&db, now);
        assert_eq!(why.as_deref(), Some("RDS does not know its CA rds-ca-2019 any more"));
        assert_eq!(Known::default().lost(&db, now), None, "nobody said so");
        assert_eq!(listed("rds-ca-2019", 0).lost(&DbInstance::default(), now), None);
    }
}
