//! Reading DER one element after the other. Pure.
//!
//! A thin layer over the library's reader, which refuses lengths that are not the shortest and
//! indefinite ones; this adds that nothing may follow where nothing is expected.

use chrono::{DateTime, NaiveDateTime, Utc};
use der::asn1::{AnyRef, ObjectIdentifier, UtcTime};
use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};

use super::TimestampError;

/// What a reading gives.
pub(super) type Read<T> = Result<T, TimestampError>;

/// It is not what it should be.
pub(super) fn not(what: &str) -> TimestampError {
    TimestampError::NotRead(what.to_owned())
}

/// One element.
#[derive(Clone, Copy, Debug)]
pub(super) struct Element<'a> {
    /// With its tag and length.
    pub whole: &'a [u8],
    value: AnyRef<'a>,
}

/// Elements, one after the other.
pub(super) struct Elements<'a> {
    reader: SliceReader<'a>,
    what: &'static str,
}

impl<'a> Element<'a> {
    /// Bytes that are exactly one element.
    pub(super) fn only(bytes: &'a [u8], what: &'static str) -> Read<Self> {
        let mut all = Elements::of(bytes, what)?;
        let element = all.next()?;
        all.end()?;
        Ok(element)
    }

    /// Its content.
    pub(super) fn value(&self) -> &'a [u8] {
        self.value.value()
    }

    /// Whether it has this tag.
    pub(super) fn is(&self, tag: Tag) -> bool {
        self.value.tag() == tag
    }

    /// The elements in it, where it has this tag.
    pub(super) fn within(&self, tag: Tag, what: &'static str) -> Read<Elements<'a>> {
        if self.is(tag) { Elements::of(self.value(), what) } else { Err(not(what)) }
    }

    /// Its content, where it has this tag.
    pub(super) fn content(&self, tag: Tag, what: &'static str) -> Read<&'a [u8]> {
        if self.is(tag) { Ok(self.value()) } else { Err(not(what)) }
    }

    /// An object identifier.
    pub(super) fn oid(&self, what: &'static str) -> Read<ObjectIdentifier> {
        ObjectIdentifier::from_bytes(self.content(Tag::ObjectIdentifier, what)?).map_err(|_| not(what))
    }

    /// A point in time (UTC), with or without a fraction of a second.
    pub(super) fn time(&self, what: &'static str) -> Read<DateTime<Utc>> {
        if self.is(Tag::UtcTime) {
            let time = UtcTime::from_der(self.whole).map_err(|_| not(what))?;
            let seconds = i64::try_from(time.to_unix_duration().as_secs()).map_err(|_| not(what))?;
            return DateTime::from_timestamp(seconds, 0).ok_or_else(|| not(what));
        }
        let text = self.content(Tag::GeneralizedTime, what)?;
        let text =
            std::str::from_utf8(text).ok().and_then(|t| t.strip_suffix('Z')).ok_or_else(|| not(what))?;
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        // DER: no fraction ends in a nought, and none is empty
        let shortest = !text.contains('.') || !fraction.ends_with('0');
        if whole.len() != 14 || !digits(whole) || !digits(fraction) || !shortest {
            return Err(not(what));
        }
        let time = NaiveDateTime::parse_from_str(whole, "%Y%m%d%H%M%S").map_err(|_| not(what))?;
        let nanos: String = fraction.chars().chain("000000000".chars()).take(9).collect();
        let nanos = nanos.parse().map_err(|_| not(what))?;
        time.and_utc().checked_add_signed(chrono::TimeDelta::nanoseconds(nanos)).ok_or_else(|| not(what))
    }
}

impl<'a> Elements<'a> {
    fn of(bytes: &'a [u8], what: &'static str) -> Read<Self> {
        Ok(Self { reader: SliceReader::new(bytes).map_err(|_| not(what))?, what })
    }

    /// The next one.
    pub(super) fn next(&mut self) -> Read<Element<'a>> {
        let whole = self.reader.tlv_bytes().map_err(|_| not(self.what))?;
        let value = AnyRef::from_der(whole).map_err(|_| not(self.what))?;
        Ok(Element { whole, value })
    }

    /// The next one, if there is one and it has this tag.
    pub(super) fn next_if(&mut self, tag: Tag) -> Read<Option<Element<'a>>> {
        match self.reader.is_finished() {
            false if Tag::peek(&self.reader).is_ok_and(|t| t == tag) => self.next().map(Some),
            _ => Ok(None),
        }
    }

    /// All that are left.
    pub(super) fn rest(mut self) -> Read<Vec<Element<'a>>> {
        let mut all = Vec::new();
        while !self.reader.is_finished() {
            all.push(self.next()?);
        }
        Ok(all)
    }

    /// Nothing is left.
    pub(super) fn end(self) -> Read<()> {
        if self.reader.is_finished() { Ok(()) } else { Err(not(self.what)) }
    }
}

/// The tag `[number]`.
pub(super) fn tagged(number: u32, constructed: bool) -> Tag {
    Tag::ContextSpecific { constructed, number: TagNumber(number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_written_in_the_shortest_way_is_refused() {
        assert!(Element::only(&[0x04, 0x01, 0x07], "x").is_ok());
        for bytes in [
            &[0x04, 0x81, 0x01, 0x07][..],         // a long length for a short one
            &[0x04, 0x01, 0x07, 0x00],             // something follows
            &[0x04, 0x02, 0x07],                   // something is missing
            &[0x30, 0x80, 0x05, 0x00, 0x00, 0x00], // an indefinite length
            &[],
        ] {
            assert!(Element::only(bytes, "x").is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn times_have_one_form() {
        let time = |text: &str| {
            let bytes = [&[0x18, u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
            Element::only(&bytes, "x").unwrap().time("x").map(|t| t.to_rfc3339())
        };
        assert_eq!(time("20260102030405Z").unwrap(), "2026-01-02T03:04:05+00:00");
        assert_eq!(time("20260102030405.25Z").unwrap(), "2026-01-02T03:04:05.250+00:00");
        for wrong in
            ["20260102030405", "20260102030405.Z", "20260102030405.50Z", "202601020304Z", "2026010203040+Z"]
        {
            assert!(time(wrong).is_err(), "{wrong}");
        }
        let short = [&[0x17, 13][..], b"260102030405Z"].concat();
        assert_eq!(Element::only(&short, "x").unwrap().time("x").unwrap().timestamp(), 1_767_323_045);
    }
}
