//! Finds many short texts in a long one, all at once. Pure.
//!
//! Not for: what the texts are. Invariant: what it takes depends on how long the text is, and hardly on how many
//! are looked for.

use std::borrow::Cow;

/// What is looked for, sorted by its first two bytes, of those the longest first; each with its number.
pub(super) struct Needles {
    /// Whether case makes no difference: all of them are in small letters then.
    folded: bool,
    sorted: Vec<(Vec<u8>, usize)>,
    /// Of each two bytes, where those that begin with them end in `sorted`.
    ends: Vec<usize>,
    /// Of one byte only.
    single: Vec<(u8, usize)>,
}

impl Needles {
    /// For these, by their numbers; an empty one is none. `folded`: the case of ASCII letters makes no difference.
    pub fn new<'n>(needles: impl Iterator<Item = &'n [u8]>, folded: bool) -> Self {
        let (mut sorted, mut single) = (Vec::new(), Vec::new());
        for (number, needle) in needles.enumerate() {
            let needle = if folded { needle.to_ascii_lowercase() } else { needle.to_vec() };
            match needle[..] {
                [] => {}
                [byte] => single.push((byte, number)),
                _ => sorted.push((needle, number)),
            }
        }
        sorted.sort_by_key(|(needle, _)| (key(needle), std::cmp::Reverse(needle.len())));
        let mut ends = vec![0; 1 << 16];
        for (needle, _) in &sorted {
            ends[key(needle)] += 1;
        }
        let mut end = 0;
        for of_two in &mut ends {
            end += *of_two;
            *of_two = end;
        }
        Self { folded, sorted, ends, single }
    }

    /// The longest that the text begins with, byte for byte: its length and number; of several the first.
    pub fn begins(&self, text: &[u8]) -> Option<(usize, usize)> {
        let first = *text.first()?;
        let longer = (text.len() > 1).then(|| {
            let key = key(text);
            let from = key.checked_sub(1).map_or(0, |before| self.ends[before]);
            self.sorted[from..self.ends[key]].iter().find(|(needle, _)| text.starts_with(needle))
        });
        let single = || Some((1, self.single.iter().find(|(byte, _)| *byte == first)?.1));
        longer.flatten().map(|(needle, number)| (needle.len(), *number)).or_else(single)
    }

    /// Where they stand, from left to right; of those that begin at one place the longest: from, to, number.
    pub fn all_in(&self, text: &[u8]) -> impl Iterator<Item = (usize, usize, usize)> {
        let text = if self.folded { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) };
        (0..text.len()).filter_map(move |at| {
            let (length, number) = self.begins(&text[at..])?;
            Some((at, at + length, number))
        })
    }
}

fn key(text: &[u8]) -> usize {
    usize::from(text[0]) << 8 | usize::from(text[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_found_and_of_one_place_the_longest() {
        let of = |needles: &[&str], text: &str| {
            let needles = Needles::new(needles.iter().map(|n| n.as_bytes()), false);
            needles.all_in(text.as_bytes()).collect::<Vec<_>>()
        };
        let folded = Needles::new([b"aB".as_slice(), b"\xc3\x9cX"].into_iter(), true);
        assert_eq!(folded.all_in("Ab ÜxÄB üX".as_bytes()).collect::<Vec<_>>(), [(0, 2, 0), (3, 6, 1)]);
        assert_eq!(of(&["ab", "abc", "bcde", "", "abc"], "xabcdeab"), [(1, 4, 1), (2, 6, 2), (6, 8, 0)]);
        assert_eq!(of(&["a", "ab", "z"], "abza"), [(0, 2, 1), (2, 3, 2), (3, 4, 0)]);
        assert_eq!(of(&["\0\0", "ÿÿ"], "\0\0ÿÿ"), [(0, 2, 0), (2, 6, 1)]);
        assert_eq!(of(&["aa"], "aaa"), [(0, 2, 0), (1, 3, 0)]);
        assert_eq!(of(&[], "abc"), []);
    }
}
