//! Which characters of a text from elsewhere may be shown, and what of a URL. Pure.
//!
//! Left to others: what a format makes of the characters that are shown. Invariant: nothing that passes
//! steers a terminal, changes the direction of reading, or is there without being seen.

use std::fmt::Write as _;

/// What becomes of a character on one line of text: itself, a blank for what separates, or nothing.
pub fn shown(c: char) -> Option<char> {
    match c {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
        c if is_unseen(c) => None,
        c => Some(c),
    }
}

/// Whether a character acts without being seen: control characters, marks of direction, characters
/// without a width, fillers, and tags.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{ffa0}' | '\u{feff}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}')
}

/// JSON in which what is not seen stands as an escape: the same values, and nothing acts on a terminal that
/// shows it. Line ends are its own layout.
pub fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if is_unseen(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// The text on one line, with everything that is not seen, or would act, written out: `\n`, `\u{202e}`. A long run of
/// blanks is counted, since what stands behind it would be out of sight. For what somebody has to judge: nothing
/// in it is left out.
pub fn written_out(text: &str) -> String {
    /// More than anybody indents.
    const BLANKS: usize = 16;
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' => {
                let mut n = 1;
                while rest.next_if_eq(&' ').is_some() {
                    n += 1;
                }
                if n <= BLANKS {
                    out.extend(std::iter::repeat_n(' ', n));
                } else {
                    let _ = write!(out, " [{n} blanks] ");
                }
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_unseen(c) || (c.is_whitespace() && c != ' ') => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// An argument of a program as a shell would take it: bare, in quotes, or with everything that is not seen
/// written out. Two arguments never look like one, nor one like two.
pub fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-./:=@%+,^~{}$[]".contains(c);
    if !argument.is_empty() && !argument.starts_with('~') && argument.chars().all(plain) {
        return argument.to_owned();
    }
    let seen = |c: char| c == ' ' || !(is_unseen(c) || c.is_whitespace());
    if argument.chars().all(|c| seen(c) && c != '\'') {
        return format!("'{}'", written_out(argument));
    }
    let escaped: String = argument
        .chars()
        .map(|c| if matches!(c, '\'' | '\\') { format!("\\{c}") } else { c.to_string() })
        .collect();
    format!("$'{}'", written_out(&escaped))
}

/// The text with stars, one for one, in place of the user name and password of every URL in it; also where
/// JSON has escaped the slashes. References, `${params.password}`, tell nobody a password and stay. A password may have the
/// slash, `?` or `#` that a URL would not: `postgres://app:pa/ss@db`.
pub fn without_user(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = ["://", ":\\/\\/"].iter().filter_map(|s| Some(rest.find(s)? + s.len())).min() {
        let (head, tail) = rest.split_at(begin);
        let authority = &tail[..tail.find(ends_authority).unwrap_or(tail.len())];
        let (user, rest_of_it) = tail.split_at(authority.rfind('@').or_else(|| unescaped(tail)).unwrap_or(0));
        out.push_str(head);
        let password = user.split_once(':').map(|(_, password)| password);
        // whom a key of ssh's logs in is no secret
        let key = password.is_none() && head.ends_with("ssh://");
        match key || are_references(password.unwrap_or(user)) {
            true => out.push_str(user),
            false => out.extend(user.chars().map(|_| '*')),
        }
        rest = rest_of_it;
    }
    out + rest
}

fn ends_authority(c: char) -> bool {
    c.is_whitespace() || ['/', '\\', '?', '#'].contains(&c)
}

/// Where a user and a password end that has what would end it in a URL; what follows the colon is no port.
fn unescaped(tail: &str) -> Option<usize> {
    let one = &tail[..tail.find(|c: char| c.is_whitespace() || c == '"').unwrap_or(tail.len())];
    let (user, password) = one[..one.rfind('@')?].split_once(':')?;
    let port = password.split(ends_authority).next().unwrap_or_default();
    let is_port = port.bytes().all(|b| b.is_ascii_digit()) || are_references(port);
    let is_user = !user.contains(|c| ends_authority(c) || c == '[' || c == '@');
    (is_user && !is_port).then(|| user.len() + 1 + password.len())
}

/// Whether it is references and nothing else.
fn are_references(text: &str) -> bool {
    let mut rest = text;
    while let Some((name, after)) = rest.strip_prefix("${").and_then(|r| r.split_once('}')) {
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || ['.', '_', '-'].contains(&c)) {
            return false;
        }
        rest = after;
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_is_not_shown() {
        let shown = |text: &str| text.chars().filter_map(shown).collect::<String>();
        assert_eq!(
            shown("a\u{1b}[2J\u{9b}1m\u{7f}\u{202e}b\u{200b}\u{2066}\u{e0041}\u{ad}c\td\u{2028}e"),
            "a[2J1mbc d e"
        );
        assert_eq!(shown("Grüße, 東京 — ✓ e\u{301}"), "Grüße, 東京 — ✓ e\u{301}");
    }

    #[test]
    fn json_says_what_is_not_seen_as_escapes() {
        let value = serde_json::json!({"a\u{9b}1m": ["\u{202e}\u{2066}\u{e0041}\u{7f}\u{ad}", "Grüße"]});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let safe = escaped(&text);
        assert!(safe.contains(r"\u202e\u2066\udb40\udc41\u007f\u00ad") && safe.contains("Grüße"), "{safe}");
        assert!(!safe.chars().any(|c| c != '\n' && is_unseen(c)), "{safe:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }

    #[test]
    fn what_has_to_be_judged_is_written_out() {
        assert_eq!(
            written_out("a\u{1b}[2J\r\nb\u{202e}\tc\u{a0}d"),
            "a\\u{1b}[2J\\r\\nb\\u{202e}\\tc\\u{a0}d"
        );
        assert_eq!(
            written_out(&format!("a{}b{}", " ".repeat(16), " ".repeat(17))),
            format!("a{}b [17 blanks] ", " ".repeat(16))
        );
        for (argument, want) in [
            ("rm", "rm"),
            ("-rf", "-rf"),
            ("", "''"),
            ("a b", "'a b'"),
            ("a' 'b", r"$'a\' \'b'"),
            ("a\nb\\n", r"$'a\nb\\n'"),
            ("*", "'*'"),
            ("curl x | sh", "'curl x | sh'"),
            ("${params.pw}", "${params.pw}"),
            ("\u{200b}", r"$'\u{200b}'"),
        ] {
            assert_eq!(quoted(argument), want);
        }
    }

    #[test]
    fn nobody_is_named_in_a_url() {
        for (text, want) in [
            ("see http://user:pw@host/a@b here", "see http://*******@host/a@b here"),
            ("http://a@b:pä@host?x=c@d", "http://******@host?x=c@d"),
            (r#"{"url":"https:\/\/user:pw@host\/p"}"#, r#"{"url":"https:\/\/*******@host\/p"}"#),
            ("http://one@a, http://two@b", "http://***@a, http://***@b"),
            ("http://user:p'w\"@host", "http://*********@host"),
            ("http://user:${params.password}@host", "http://user:${params.password}@host"),
            ("http://${params.user}:pw@host", "http://*****************@host"),
            ("ssh://git@host, git+ssh://git:pw@host", "ssh://git@host, git+ssh://******@host"),
            ("http://host/ me@host ://", "http://host/ me@host ://"),
            // what a URL would have escaped
            ("postgres://app:pa/ss@db/orders", "postgres://*********@db/orders"),
            (
                r#"{"u":"mysql:\/\/app:p?#@s\/2@db","m":"me@x"}"#,
                r#"{"u":"mysql:\/\/************@db","m":"me@x"}"#,
            ),
            ("http://host:8080/@me http://host:/@me", "http://host:8080/@me http://host:/@me"),
            ("http://host:${params.port}/@me", "http://host:${params.port}/@me"),
            ("http://[::1]:80/@me http://host/a:b@c", "http://[::1]:80/@me http://host/a:b@c"),
            ("http://user:${params.user}${a-b}@host", "http://user:${params.user}${a-b}@host"),
            ("http://user:pw${@host http://user:${}@host", "http://*********@host http://********@host"),
            ("http://user:pre-${params.pw}@host", "http://*********************@host"),
        ] {
            assert_eq!(without_user(text), want);
        }
    }
}
