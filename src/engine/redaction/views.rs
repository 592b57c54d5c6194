//! A text as whoever wrote it meant it: with its escapes undone, its lines put together again, and without what only
//! a terminal would act on. Pure.
//!
//! Left to others: what to look for. Invariant: each byte of a [`View`] knows which bytes of the original text
//! it was made of, in their order, so that what is found in a view can be taken out of the text itself.
//!
//! Nobody says which escapes a text uses, so each is undone alone and each two one within the other, with the
//! line breaks in place, taken out before, and taken out after. A view is only made where there is something to undo.

use crate::model::text::is_unseen;

/// How many escapes may be written one within the other.
const DEPTH: usize = 2;

/// What is left of a text when something is undone in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// What it says.
    pub bytes: Vec<u8>,
    /// Of each byte, from where to where it stands in the original text.
    at: Vec<(usize, usize)>,
    /// Whether blanks and line breaks were taken out.
    pub squeezed: bool,
}

/// What stands for an escape.
enum Meant {
    Byte(u8),
    Char(char),
    /// It was cut within.
    Nothing,
}

/// A way of writing characters.
#[derive(Clone, Copy)]
struct Escape {
    /// With what it begins.
    leads: [u8; 2],
    /// Reads the one at the beginning of what it is given, where there is one: its length, and what it means.
    read: fn(&[u8]) -> Option<(usize, Meant)>,
}

const ESCAPES: [Escape; 8] = [
    Escape { leads: [b'%'; 2], read: percent },
    Escape { leads: [b'%', b'+'], read: form },
    Escape { leads: [b'\\'; 2], read: backslash },
    Escape { leads: [b'\\'; 2], read: backslash_latin },
    Escape { leads: [b'&'; 2], read: entity },
    Escape { leads: [b'\''; 2], read: |text| quoted(text, &[b"'\\''", b"'\"'\"'"]) },
    Escape { leads: [b'\''; 2], read: |text| quoted(text, &[b"''"]) },
    Escape { leads: [b'"'; 2], read: |text| quoted(text, &[b"\"\""]) },
];

/// The text in every way in which it may be meant, as it is seen first.
pub(super) fn views(text: &str) -> Vec<View> {
    let plain = View::of(text);
    let mut out = Vec::new();
    // what is looked at as it is: escapes are undone in what is seen
    let mut aside: Vec<View> =
        [Calm::Characters, Calm::Struck].into_iter().filter_map(|how| plain.calm(how)).collect();
    let seen = match plain.calm(Calm::Sequences) {
        Some(calm) => {
            aside.push(plain);
            calm
        }
        None => plain,
    };
    let squeezed = seen.squeezed();
    aside.extend([Some(&seen), squeezed.as_ref()].into_iter().flatten().filter_map(View::joined));
    aside.extend(seen.of_dumps());
    for base in [Some(seen), squeezed].into_iter().flatten() {
        let mut from = out.len();
        out.push(base);
        for _ in 0..DEPTH {
            let to = out.len();
            for n in from..to {
                for escape in ESCAPES {
                    let undone =
                        out[n].undone(escape).filter(|view| !out.iter().any(|v| v.says_the_same(view)));
                    out.extend(undone);
                }
            }
            from = to;
        }
    }
    // line breaks, and what a terminal acts on, that were escapes themselves; of the first that is done
    for n in 1..out.len() {
        let calm = out[n].calm(Calm::Sequences);
        let squeezed = calm.as_ref().unwrap_or(&out[n]).squeezed();
        out.extend([calm, squeezed].into_iter().flatten());
    }
    out.extend(aside);
    out
}

/// How what is not seen is taken out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Calm {
    /// As a terminal does: a colour with all that says which.
    Sequences,
    /// Character by character, as a report does.
    Characters,
    /// As [`Calm::Sequences`], and a backspace takes what stands before it along: a character struck twice is bold.
    Struck,
}

/// A text without what nobody sees.
pub(super) fn calm(text: &str) -> Vec<Vec<u8>> {
    let view = View::of(text);
    [Calm::Sequences, Calm::Characters].into_iter().filter_map(|how| Some(view.calm(how)?.bytes)).collect()
}

/// A line of a dump: where it has the digits, and where the characters beside them.
struct Dumped {
    digits: std::ops::Range<usize>,
    shown: std::ops::Range<usize>,
}

/// Reads a line of `xxd`, `hexdump -C`, `od -A x -t x1`: an offset, whatever stands before it, digits, and behind two blanks
/// the characters, if they are shown.
fn dumped(line: &[u8]) -> Option<Dumped> {
    let begins = |n: &usize| *n == 0 || matches!(line[n - 1], b' ' | b'\t' | b'"' | b'\'' | b'=');
    (0..line.len()).filter(begins).find_map(|n| dumped_from(line, n))
}

/// The most bytes that a dump shows in a line: `xxd -c`.
const MOST_DUMPED: usize = 256;

fn dumped_from(line: &[u8], begin: usize) -> Option<Dumped> {
    let begin = begin + if line[begin..].starts_with(b"0x") { 2 } else { 0 };
    let offset = line[begin..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let end = begin + offset;
    if !(4..=16).contains(&offset) || !matches!(line.get(end), Some(b':' | b' ' | b'\t')) {
        return None;
    }
    let blank = |b: &u8| matches!(b, b' ' | b'\t');
    let first = end + 1 + line[end + 1..].iter().take_while(|b| blank(b)).count();
    // groups of whole bytes; two blanks part them from the characters, and once in the middle
    let (mut at, mut last, mut bytes, mut gaps) = (first, first, 0, Vec::new());
    loop {
        let group = line[at..].iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let blanks = line[at + group..].iter().take_while(|b| blank(b)).count();
        let is_end = at + group == line.len();
        // no dump has so many in a line: a text of numbers is not read again from each of them
        if group < 2 || group % 2 != 0 || (blanks == 0 && !is_end) || bytes > MOST_DUMPED {
            break;
        }
        (bytes, last) = (bytes + group / 2, at + group);
        at = last + blanks;
        if is_end || blanks > 1 {
            gaps.push((last, at));
        }
        if is_end {
            break;
        }
    }
    let (digits, shown) = match gaps.last() {
        // what looks like digits behind the gap may be characters: where there are bars, they tell
        Some((_, behind)) if line[*behind..].first() == Some(&b'|') => (last, *behind),
        _ => *gaps.first()?,
    };
    let mut shown = shown..line.len();
    if line[shown.start..].first() == Some(&b'|') && line.ends_with(b"|") && shown.len() > 1 {
        shown = shown.start + 1..shown.end - 1;
    }
    (bytes > 0).then_some(Dumped { digits: first..digits, shown })
}

impl View {
    /// The text as it stands.
    fn of(text: &str) -> Self {
        let at = (0..text.len()).map(|n| (n, n + 1)).collect();
        Self { bytes: text.as_bytes().to_vec(), at, squeezed: false }
    }

    /// From where to where the text says what the view says in `from..to`, which is not empty. Of an escape at either
    /// end only the character itself, where it stands there: `\'` is a quote behind a backslash.
    pub fn range(&self, text: &str, from: usize, to: usize) -> (usize, usize) {
        let (first, last) = (self.at[from], self.at[to - 1]);
        let written = |(from, to): (usize, usize)| &text.as_bytes()[from..to];
        // digits would tell it again
        let only_signs = |rest: &[u8]| rest.iter().all(u8::is_ascii_punctuation);
        let start = match written(first) {
            [signs @ .., own] if *own == self.bytes[from] && only_signs(signs) => first.1 - 1,
            _ => first.0,
        };
        let end = match written(last) {
            [own, signs @ ..] if *own == self.bytes[to - 1] && only_signs(signs) => last.0 + 1,
            _ => last.1,
        };
        (text.floor_char_boundary(start), text.ceil_char_boundary(end))
    }

    fn says_the_same(&self, other: &Self) -> bool {
        self.bytes == other.bytes && self.squeezed == other.squeezed
    }

    fn empty(&self, squeezed: bool) -> Self {
        let (bytes, at) = (Vec::with_capacity(self.bytes.len()), Vec::with_capacity(self.bytes.len()));
        Self { bytes, at, squeezed }
    }

    fn squeezed(&self) -> Option<Self> {
        let blank = u8::is_ascii_whitespace;
        self.bytes.iter().any(blank).then(|| {
            let mut out = self.empty(true);
            for (byte, at) in self.bytes.iter().zip(&self.at).filter(|(byte, _)| !blank(byte)) {
                out.bytes.push(*byte);
                out.at.push(*at);
            }
            out
        })
    }

    /// Without what nobody sees, where there is any.
    fn calm(&self, how: Calm) -> Option<Self> {
        const BACKSPACE: u8 = 8;
        let wanted = |b: &u8| if how == Calm::Struck { *b == BACKSPACE } else { may_be_unseen(*b) };
        if !self.bytes.iter().any(wanted) {
            return None;
        }
        let mut out = self.empty(self.squeezed);
        // where what was struck out began: it is part of what stands there now
        let mut struck = None;
        let mut n = 0;
        while let Some(byte) = self.bytes.get(n) {
            let length = if may_be_unseen(*byte) { unseen(&self.bytes[n..], how) } else { 0 };
            if length == 0 {
                let (from, to) = self.at[n];
                out.bytes.push(*byte);
                out.at.push((struck.take().unwrap_or(from), to));
                n += 1;
                continue;
            }
            if how == Calm::Struck && *byte == BACKSPACE {
                while let (Some(byte), Some(at)) = (out.bytes.pop(), out.at.pop()) {
                    struck = Some(at.0);
                    if byte & 0xc0 != 0x80 {
                        break;
                    }
                }
            }
            n += length;
        }
        (out.bytes.len() < self.bytes.len()).then_some(out)
    }

    /// With hexadecimal digits put together that stand in pairs: `5a:71:39:27`, `5a-71-39-27`.
    fn joined(&self) -> Option<Self> {
        /// The fewest pairs that are none of a time of day or a date.
        const PAIRS: usize = 4;
        let pair = |n: usize| self.bytes.get(n..n + 2).is_some_and(all_hex);
        let mut out: Option<Self> = None;
        let (mut copied, mut n) = (0, 0);
        while n < self.bytes.len() {
            let sign = self.bytes.get(n + 2).filter(|b| matches!(b, b':' | b'-'));
            let Some(sign) = sign.filter(|_| pair(n)) else {
                n += 1;
                continue;
            };
            let mut pairs = 1;
            while self.bytes.get(n + pairs * 3 - 1) == Some(sign) && pair(n + pairs * 3) {
                pairs += 1;
            }
            if pairs < PAIRS {
                n += 1;
                continue;
            }
            let out = out.get_or_insert_with(|| self.empty(self.squeezed));
            out.copy(self, copied, n);
            for at in 0..pairs {
                out.copy(self, n + at * 3, n + at * 3 + 2);
            }
            n += pairs * 3 - 1;
            copied = n;
        }
        let mut out = out?;
        out.copy(self, copied, self.bytes.len());
        Some(out)
    }

    /// What a dump says: its digits, and the characters beside them, line after line.
    fn of_dumps(&self) -> Vec<Self> {
        let (mut digits, mut shown) = (self.empty(true), self.empty(self.squeezed));
        let mut from = 0;
        for line in self.bytes.split_inclusive(|b| *b == b'\n') {
            if let Some(d) = dumped(line.strip_suffix(b"\n").unwrap_or(line)) {
                for n in d.digits.filter(|n| line[*n].is_ascii_hexdigit()) {
                    digits.copy(self, from + n, from + n + 1);
                }
                shown.copy(self, from + d.shown.start, from + d.shown.end);
            }
            from += line.len();
        }
        [digits, shown].into_iter().filter(|view| !view.bytes.is_empty()).collect()
    }

    fn undone(&self, escape: Escape) -> Option<Self> {
        let mut out: Option<Self> = None;
        let (mut copied, mut n) = (0, 0);
        let lead = |byte: &u8| escape.leads.contains(byte);
        while let Some(ahead) = self.bytes[n..].iter().position(lead) {
            n += ahead;
            let Some((length, meant)) = (escape.read)(&self.bytes[n..]) else {
                n += 1;
                continue;
            };
            let out = out.get_or_insert_with(|| self.empty(self.squeezed));
            out.copy(self, copied, n);
            let at = (self.at[n].0, self.at[n + length - 1].1);
            let mut utf8 = [0; 4];
            let meant: &[u8] = match meant {
                Meant::Byte(byte) => &[byte],
                Meant::Char(c) => c.encode_utf8(&mut utf8).as_bytes(),
                Meant::Nothing => &[],
            };
            out.bytes.extend_from_slice(meant);
            out.at.extend(meant.iter().map(|_| at));
            n += length;
            copied = n;
        }
        let mut out = out?;
        out.copy(self, copied, self.bytes.len());
        Some(out)
    }

    fn copy(&mut self, other: &Self, from: usize, to: usize) {
        self.bytes.extend_from_slice(&other.bytes[from..to]);
        self.at.extend_from_slice(&other.at[from..to]);
    }
}

/// Whether a character that begins so may be none that is seen. Blanks and line ends are told apart elsewhere.
fn may_be_unseen(byte: u8) -> bool {
    (byte.is_ascii_control() && !byte.is_ascii_whitespace())
        || matches!(byte, 0xc2 | 0xd8 | 0xe1..=0xef | 0xf3)
}

/// How long what the text begins with and nobody sees is; 0 where it is seen.
fn unseen(text: &[u8], how: Calm) -> usize {
    const ESC: u8 = 0x1b;
    const CSI: char = '\u{9b}';
    let width = match text.first() {
        Some(0..=0x7f) => 1,
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        _ => 4,
    };
    let c = text.get(..width).and_then(|c| std::str::from_utf8(c).ok()?.chars().next());
    let Some(c) = c.filter(|c| is_unseen(*c)) else { return 0 };
    let run = |from: usize, kinds: std::ops::RangeInclusive<u8>| {
        text.iter().skip(from).take_while(|b| kinds.contains(b)).count()
    };
    // parameters, then signs, then the one that says what it is
    let csi = |from: usize| {
        let signs = from + run(from, 0x30..=0x3f);
        let last = signs + run(signs, 0x20..=0x2f);
        last + usize::from(text.get(last).is_some_and(|b| (0x40..=0x7e).contains(b)))
    };
    match (how, text.get(1)) {
        (Calm::Characters, _) => width,
        _ if c == CSI => csi(width),
        (_, Some(b'[')) if text[0] == ESC => csi(2),
        (_, Some(0x20..=0x2f)) if text[0] == ESC => {
            let last = 1 + run(1, 0x20..=0x2f);
            last + usize::from(text.get(last).is_some_and(|b| (0x30..=0x7e).contains(b)))
        }
        (_, Some(0x30..=0x7e)) if text[0] == ESC => 2,
        _ => width,
    }
}

/// The number in the first `digits` digits, `None` where there are fewer.
fn number(text: &[u8], digits: usize, radix: u32) -> Option<u32> {
    let digits = text.get(..digits)?;
    if !digits.iter().all(|d| char::from(*d).is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

fn all_hex(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_hexdigit)
}

fn byte(n: u32) -> Option<Meant> {
    u8::try_from(n).ok().map(Meant::Byte)
}

/// `%2F` of a URL.
fn percent(text: &[u8]) -> Option<(usize, Meant)> {
    let digits = text.strip_prefix(b"%")?;
    if digits.len() < 2 {
        return all_hex(digits).then_some((text.len(), Meant::Nothing));
    }
    Some((3, byte(number(digits, 2, 16)?)?))
}

/// The same in a form, where `+` is a blank.
fn form(text: &[u8]) -> Option<(usize, Meant)> {
    if text.first() == Some(&b'+') { Some((1, Meant::Byte(b' '))) } else { percent(text) }
}

/// `\"`, `\n`, `\/`, `\u002f`, `\x2f`, `\057`: of JSON, of programs, and of a shell. `\xc3` is a byte.
fn backslash(text: &[u8]) -> Option<(usize, Meant)> {
    let rest = text.strip_prefix(b"\\")?;
    let cut = Some((text.len(), Meant::Nothing));
    let Some((kind, after)) = rest.split_first() else { return cut };
    let letter = |meant| Some((2, Meant::Byte(meant)));
    match kind {
        b'n' => letter(b'\n'),
        b'r' => letter(b'\r'),
        b't' => letter(b'\t'),
        b'b' => letter(8),
        b'f' => letter(12),
        b'v' => letter(11),
        b'a' => letter(7),
        b'e' | b'E' => letter(27),
        b'u' if after.first() == Some(&b'{') => {
            let end = after.iter().take(8).position(|b| *b == b'}')?;
            let c = char::from_u32(number(&after[1..], end - 1, 16)?)?;
            Some((2 + end + 1, Meant::Char(c)))
        }
        b'u' if after.len() < 4 && all_hex(after) => cut,
        b'u' => match number(after, 4, 16)? {
            high @ 0xd800..0xdc00 => {
                let Some(low) = after[4..].strip_prefix(b"\\u") else {
                    return b"\\u".starts_with(&after[4..]).then_some((text.len(), Meant::Nothing));
                };
                if low.len() < 4 && all_hex(low) {
                    return cut;
                }
                let low = number(low, 4, 16)?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                let c = char::from_u32(0x10000 + ((high - 0xd800) << 10) + low)?;
                Some((12, Meant::Char(c)))
            }
            n => Some((6, Meant::Char(char::from_u32(n)?))),
        },
        b'U' if after.len() < 8 && all_hex(after) => cut,
        b'U' => Some((10, Meant::Char(char::from_u32(number(after, 8, 16)?)?))),
        b'x' if after.len() < 2 && all_hex(after) => cut,
        b'x' => Some((4, byte(number(after, 2, 16)?)?)),
        b'0'..=b'7' => {
            let digits = rest.iter().take(3).take_while(|d| matches!(d, b'0'..=b'7')).count();
            Some((1 + digits, byte(number(rest, digits, 8)?)?))
        }
        other => letter(*other),
    }
}

/// The same where `\xfc` is a character, as in Python and JavaScript.
fn backslash_latin(text: &[u8]) -> Option<(usize, Meant)> {
    match backslash(text)? {
        (4, Meant::Byte(byte)) if text[1] == b'x' => Some((4, Meant::Char(char::from(byte)))),
        other => Some(other),
    }
}

/// The names that HTML has for what ASCII has no letters for.
const NAMES: [(&str, char); 42] = [
    ("amp", '&'),
    ("AMP", '&'),
    ("lt", '<'),
    ("LT", '<'),
    ("gt", '>'),
    ("GT", '>'),
    ("quot", '"'),
    ("QUOT", '"'),
    ("apos", '\''),
    ("nbsp", ' '),
    ("Tab", '\t'),
    ("NewLine", '\n'),
    ("excl", '!'),
    ("num", '#'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("midast", '*'),
    ("plus", '+'),
    ("comma", ','),
    ("period", '.'),
    ("sol", '/'),
    ("colon", ':'),
    ("semi", ';'),
    ("equals", '='),
    ("quest", '?'),
    ("commat", '@'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("bsol", '\\'),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("grave", '`'),
    ("lcub", '{'),
    ("lbrace", '{'),
    ("verbar", '|'),
    ("rcub", '}'),
    ("rbrace", '}'),
];

/// `&amp;`, `&#38;`, `&#x26;`.
fn entity(text: &[u8]) -> Option<(usize, Meant)> {
    /// The longest that is taken for one.
    const LONGEST: usize = 12;
    let name = text.strip_prefix(b"&")?;
    let end = name.iter().take(LONGEST).position(|b| !b.is_ascii_alphanumeric() && *b != b'#');
    let Some(end) = end else { return (name.len() < LONGEST).then_some((text.len(), Meant::Nothing)) };
    if name[end] != b';' {
        return None;
    }
    let c = match &name[..end] {
        [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(digits, digits.len(), 16)?)?,
        [b'#', digits @ ..] => char::from_u32(number(digits, digits.len(), 10)?)?,
        name => NAMES.iter().find(|(known, _)| known.as_bytes() == name)?.1,
    };
    Some((1 + end + 1, Meant::Char(c)))
}

/// A quote within a text in quotes: `'\''` and `'"'"'` of a shell, `''` of SQL, `""` of CSV.
fn quoted(text: &[u8], written: &[&[u8]]) -> Option<(usize, Meant)> {
    if let Some(whole) = written.iter().find(|whole| text.starts_with(whole)) {
        return Some((whole.len(), Meant::Byte(text[0])));
    }
    let cut = !text.is_empty() && written.iter().any(|whole| whole.starts_with(text));
    cut.then_some((text.len(), Meant::Nothing))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<String> {
        views(text).iter().map(|v| String::from_utf8_lossy(&v.bytes).into_owned()).collect()
    }

    #[test]
    fn every_escape_is_undone_and_knows_where_it_stood() {
        for (text, meant) in [
            ("x%2Fy", "x/y"),
            ("x%2fy", "x/y"),
            ("x+y", "x y"),
            (r"x\u002fy", "x/y"),
            (r"x\u{2f}y", "x/y"),
            (r"x\U0000002Fy", "x/y"),
            (r"x\x2fy", "x/y"),
            (r"x\057y", "x/y"),
            (r"x\/y", "x/y"),
            (r"x\ny", "x\ny"),
            (r"x\ud83d\ude00y", "x😀y"),
            (r"x\xfcy", "xüy"),
            (r"x\xc3\xbcy", "xüy"),
            (r"x\303\274y", "xüy"),
            ("x&amp;y", "x&y"),
            ("x&#38;y", "x&y"),
            ("x&#x26;y", "x&y"),
            (r"x'\''y", "x'y"),
            (r#"x'"'"'y"#, "x'y"),
            ("x''y", "x'y"),
            (r#"x""y"#, "x\"y"),
            ("x\n y", "xy"),
            ("x%\n2Fy", "x/y"),
            (r"x\\u002fy", "x/y"),
            ("x%26amp%3By", "x&y"),
            (r"x%0Ay", "xy"),
        ] {
            let found = views(text).into_iter().find(|v| v.bytes == meant.as_bytes());
            let view = found.unwrap_or_else(|| panic!("{text:?}: {:?}", said(text)));
            let whole = view.range(text, 0, view.bytes.len());
            assert_eq!(whole, (0, text.len()), "{text:?}");
            assert_eq!(view.range(text, 0, 1), (0, 1), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_escape_stands_as_it_is() {
        for text in
            ["100% of it", "%zz", "a & b; c &nothing; d", "&#xzz;", "it's", r"\u12 no", r"\uzzzz", r"\ud800x"]
        {
            for said in said(text).iter().filter(|s| !text.starts_with('\\') || s.starts_with('\\')) {
                let blanks = |s: &str| s.split_whitespace().collect::<String>();
                assert_eq!(blanks(said), blanks(text));
            }
        }
        assert_eq!(said("plain"), ["plain"], "nothing to undo");
    }

    #[test]
    fn what_was_cut_within_an_escape_is_left_out() {
        for text in
            ["ab%", "ab%2", "ab\\", r"ab\u00", r"ab\ud83d", r"ab\ud83d\ude", r"ab\x", "ab&am", "ab'", r"ab'\"]
        {
            assert!(said(text).contains(&"ab".to_owned()), "{text:?}: {:?}", said(text));
        }
    }

    #[test]
    fn of_an_escape_at_the_end_the_character_itself_is_enough() {
        let text = r"'\''ab\'c";
        let view = views(text).into_iter().find(|v| v.bytes == br"'ab\'c").unwrap();
        assert_eq!(view.range(text, 0, 3), (3, 6), "of four characters for one quote the last");
        for text in ["%33b", r"\x33b"] {
            assert_eq!(views(text)[1].range(text, 0, 2), (0, text.len()), "its digits would tell it");
        }
    }
}
