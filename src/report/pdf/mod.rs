//! `report.pdf`: the record as PDF/A-3a and PDF/UA-1, with the machine-readable files attached. Pure.
//!
//! Says what the web page says: both are made of the same sections. Set by typst inside this process:
//! no other program runs, no file and no network is read, and there is no today: the document is dated
//! by the run's end, so the same record and attachments give the same bytes. Text reaches typst only as
//! JSON, as values; none of it is ever parsed as markup.

mod paper;
mod world;

use chrono::{DateTime, Datelike as _, Timelike as _, Utc};
use sha2::{Digest as _, Sha256};
use typst::diag::{SourceDiagnostic, Warned};
use typst::foundations::{Bytes, Datetime, Smart};
use typst_layout::PagedDocument;
use typst_pdf::{PdfOptions, PdfStandard, PdfStandards, Timestamp};

use self::world::{Fonts, Place};
use super::pictures;
use crate::evidence::Record;

/// A file to attach: its name, its media type, its bytes.
pub type Attachment<'a> = (String, &'a str, Vec<u8>);

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum PdfError {
    /// typst did not accept the document; its own words.
    #[error("the PDF could not be set: {0}")]
    Typeset(String),
    /// The document breaks a rule of PDF/A-3 or PDF/UA-1; typst's words.
    #[error("the PDF does not conform to PDF/A-3a and PDF/UA-1: {0}")]
    Export(String),
    /// The record does not turn into JSON.
    #[error("the record could not be handed to the typesetter")]
    Json(#[from] serde_json::Error),
    /// An attachment cannot be attached under its name.
    #[error("a file named {0:?} cannot be attached to the PDF")]
    Attachment(String),
}

/// Which letters are printed; the others are written by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letters {
    /// Those that the fonts have.
    Known,
    /// Those of ASCII: where letters that the fonts have cannot be set beside each other.
    Ascii,
}

/// The PDF of a run, with these files in it.
///
/// # Errors
/// See [`PdfError`]; which characters the text holds is never a reason.
pub fn report(record: &Record, attachments: &[Attachment<'_>]) -> Result<Vec<u8>, PdfError> {
    match export(record, attachments, Letters::Known) {
        Err(PdfError::Export(_)) => export(record, attachments, Letters::Ascii),
        done => done,
    }
}

fn export(record: &Record, attachments: &[Attachment<'_>], letters: Letters) -> Result<Vec<u8>, PdfError> {
    let document = typeset(record, attachments, letters)?;
    let options = PdfOptions {
        ident: Smart::Custom(ident(record, attachments)),
        creator: Smart::Custom(Some(format!("redrill {}", record.made_by))),
        timestamp: Some(Timestamp::new_utc(date(record))),
        standards: PdfStandards::new(&[PdfStandard::A_3a, PdfStandard::Ua_1])
            .map_err(|e| PdfError::Export(e.message().to_string()))?,
        ..PdfOptions::default()
    };
    typst_pdf::pdf(&document, &options).map_err(|e| PdfError::Export(words(&e)))
}

/// The pages, before they become a PDF.
fn typeset(
    record: &Record,
    attachments: &[Attachment<'_>],
    letters: Letters,
) -> Result<PagedDocument, PdfError> {
    let fonts = Fonts::get();
    let mut paper = serde_json::to_value(paper::paper(record, attachments))?;
    let spelled = spell(&mut paper, &|text| fonts.spelled(text, letters));
    paper["spelled"] = spelled.into();
    let mut place = Place::new(fonts, include_str!("report.typ"));
    place.add("record.json", Bytes::new(serde_json::to_vec(&paper)?));
    for picture in pictures::all(record) {
        place.add(
            &paper::picture_file(picture.name),
            Bytes::from_string(fonts.spelled(&picture.svg, letters)),
        );
    }
    for (number, (name, _, bytes)) in attachments.iter().enumerate() {
        if !is_plain(name) || attachments.iter().filter(|a| a.0 == *name).count() > 1 {
            return Err(PdfError::Attachment(name.clone()));
        }
        place.add(&paper::attachment_file(number), Bytes::new(bytes.clone()));
    }
    let Warned { output, warnings } = typst::compile::<PagedDocument>(&place);
    let document = output.map_err(|e| PdfError::Typeset(words(&e)))?;
    if warnings.is_empty() { Ok(document) } else { Err(PdfError::Typeset(words(&warnings))) }
}

/// A name that stays what it is in every reader: no folders, nothing hidden.
fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

/// Writes every character that cannot be printed as its number; tells whether there was any.
fn spell(value: &mut serde_json::Value, spelled: &dyn Fn(&str) -> String) -> bool {
    match value {
        serde_json::Value::String(text) => {
            let new = spelled(text);
            let differs = new != *text;
            *text = new;
            differs
        }
        // every member has to be visited, so no `any`
        serde_json::Value::Array(items) => items.iter_mut().fold(false, |any, v| spell(v, spelled) | any),
        serde_json::Value::Object(map) => map.values_mut().fold(false, |any, v| spell(v, spelled) | any),
        _ => false,
    }
}

/// What the document's identifiers are derived from: the run, and everything that goes into it.
fn ident(record: &Record, attachments: &[Attachment<'_>]) -> String {
    let mut hash = Sha256::new();
    hash.update(record.integrity.journal_sha256.as_bytes());
    for (name, _, bytes) in attachments {
        hash.update(name.as_bytes());
        hash.update(Sha256::digest(bytes));
    }
    let hash = hash.finalize().iter().map(|b| format!("{b:02x}")).collect::<String>();
    format!("redrill {} {hash}", record.identity.run)
}

/// The document's date: the run's end, or its newest line. A run without any line has no date; PDF/A
/// wants one, so that is the epoch.
fn date(record: &Record) -> Datetime {
    let at = record.identity.finished_at.or(record.run.last_at).unwrap_or(DateTime::<Utc>::UNIX_EPOCH);
    let part = |n: u32| u8::try_from(n).unwrap_or(0);
    Datetime::from_ymd_hms(
        at.year(),
        part(at.month()),
        part(at.day()),
        part(at.hour()),
        part(at.minute()),
        part(at.second()),
    )
    // typst's years end before chrono's; no run that is read has one of those
    .or_else(|| Datetime::from_ymd(1970, 1, 1))
    .expect("BUG: the epoch is a date")
}

fn words(diagnostics: &[SourceDiagnostic]) -> String {
    let mut words: Vec<String> = diagnostics.iter().map(|d| d.message.to_string()).collect();
    words.dedup();
    words.join("; ")
}

#[cfg(test)]
mod tests;
