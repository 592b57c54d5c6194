//! Texts from elsewhere, made fit for formats with rules of their own. Pure.

use crate::model::text::shown;

/// On one line, trimmed, without control characters or anything that reorders what is read; never
/// empty, since most formats refuse an empty value.
pub fn line(text: &str) -> String {
    let kept: String = text
        .chars()
        .filter_map(|c| match c {
            c if c.is_whitespace() => Some(' '),
            c => shown(c),
        })
        .collect();
    let text = kept.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    if text.is_empty() { "not stated".to_owned() } else { text }
}

/// [`line`], and at most `max` characters; what is cut off shows as `…`.
pub fn short(text: &str, max: usize) -> String {
    let text = line(text);
    if text.chars().count() <= max {
        return text;
    }
    let cut: String = text.chars().take(max.saturating_sub(1)).collect();
    format!("{}…", cut.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_and_never_empty() {
        assert_eq!(line(" a\n\tb\u{1b}[31m \u{202e}c\u{2028}d "), "a b[31m c d");
        assert_eq!(line(" \u{200b}\n"), "not stated");
        assert_eq!((short("abcd", 4), short("abcde", 4)), ("abcd".to_owned(), "abc…".to_owned()));
    }
}
